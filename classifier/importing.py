"""`kennel import`: makes a bundle of weights that Kennel did not train.

The file is read as plain tensors (classifier.statedict); nothing in it is executed.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from classifier import bundle, calibration, matching, networks, statedict
from classifier.architectures import canonical
from classifier.others import configs, outside
from classifier.statedict import WeightsError
from classifier.transform import EvaluationTransform
from pictures import folders
from pictures.decoder import ImageError, decode
from pictures.layouts.walk import files_below, subfolders
from pictures.picture import DataError, Passed, Picture, shorten
from pictures.shards import ShardError

GOLDEN_PICTURES = 4
ENOUGH = 200  # labelled pictures, to fit the calibration
_BATCH = 32


@dataclass
class Measured:
    """What the network says about the photos."""

    logits: torch.Tensor = field(default_factory=lambda: torch.empty(0))  # [N, classes]
    labels: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    unreadable: list[str] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return (self.logits.argmax(1) == self.labels).double().mean().item()


def make(
    file: Path,
    architecture: str,
    classes: Sequence[str],
    transform: EvaluationTransform,
    photos: Path | None = None,
    say: Callable[[str], None] = print,
) -> bundle.Bundle:
    """Make a bundle of a weights file.

    Args:
        file: see `statedict.read`; its head is that of the classes.
        architecture: of the weights.
        classes: their names, in the order of the outputs.
        transform: what the network's input is made with.
        photos: a folder of pictures, in class folders if they are labelled: for the golden inputs,
            the accuracy and the calibration. Without it the golden inputs are made up.
        say: prints a line.

    Raises:
        WeightsError, DataError, BundleError, ValueError: with what to change.
    """
    name = canonical(architecture)
    networks.check_size(name, transform.crop)
    network = _network(file, name, classes, transform, say)
    if name in ("googlenet", "inception_v3"):
        say(f"{name}: {_rescaled(transform)}")
    pictures = listed(photos, classes, say) if photos else []
    measured = _measure(network, pictures, transform, say)
    labelled = len(measured.labels) > 0 and bool((measured.labels >= 0).all())
    metrics: dict[str, float] = {}
    temperature, novelty = 1.0, None
    if labelled:
        count = len(measured.labels)
        metrics["photos:accuracy"] = measured.accuracy
        say(f"accuracy {measured.accuracy:.4f} on {count} photos")
        if count >= ENOUGH:
            temperature = calibration.fit_temperature(measured.logits, measured.labels)
            novelty = calibration.fit_novelty(measured.logits)
            say(f"calibrated on them: temperature {temperature:.3f}")
        else:
            say(f"not calibrated: that needs {ENOUGH} labelled photos")
    description = bundle.Description(
        architecture=name,
        classes=tuple(classes),
        folders=tuple(classes),
        transform=transform,
        temperature=temperature,
        novelty=novelty,
        training={
            "imported": file.name,
            "sha256": _sha256(file),
            "versions": {package: version(package) for package in ("torch", "torchvision")},
        },
        metrics=metrics,
    )
    made = bundle.make(network, description, _golden(pictures, transform))
    if not np.isfinite(made.golden.logits).all():
        raise WeightsError(f"{file}: with these weights the logits are not finite numbers")
    return made


def _network(
    file: Path,
    name: str,
    classes: Sequence[str],
    transform: EvaluationTransform,
    say: Callable[[str], None],
) -> nn.Module:
    tensors, stated = statedict.opened(file)
    network = networks.build(name, len(classes), image_size=transform.crop)
    try:
        match = matching.match(tensors, network, with_head=True)
    except WeightsError as error:
        why = ""
        if name.startswith("squeezenet"):
            why = "; Kennel's squeezenet ends in a linear layer, and torchvision's in a convolution"
        if re.search(r"\d+-of-\d+", file.name):
            why += "; its name is that of one part: load all parts, and save one state dict"
        raise WeightsError(f"{file} does not have weights of {name}: {error}{why}") from error
    try:
        if match.package:
            configs.check(file, network)
        stated = stated | configs.read(file)
        outside.check(match.others, stated, match.state, name, transform, classes, say)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from error
    network.load_state_dict(match.state, strict=False)
    for note in match.notes:
        say(note)
    if match.package:
        say(
            f"the names are those of {match.package}, which often takes another input than "
            "torchvision's: compare its configuration with the line `input` below"
        )
    return network.eval().requires_grad_(False)


def _rescaled(transform: EvaluationTransform) -> str:
    """Return what GoogLeNet and Inception do with their input, and how to undo it."""
    # Source: torchvision/models/inception.py, _transform_input.
    scales = [std / 0.5 for std in (0.229, 0.224, 0.225)]
    shifts = [(mean - 0.5) / 0.5 for mean in (0.485, 0.456, 0.406)]
    pairs = list(zip(transform.mean, transform.std, shifts, strict=True))
    mean = ",".join(f"{mean + std * shift:.6g}" for mean, std, shift in pairs)
    std = ",".join(f"{std * scale:.6g}" for std, scale in zip(transform.std, scales, strict=True))
    return (
        "its inputs are rescaled inside, as torchvision's pretrained weights need it; for weights "
        f"trained without that (transform_input=False) add --mean {mean} --std {std}"
    )


def listed(root: Path, classes: Sequence[str], say: Callable[[str], None] = print) -> list[Picture]:
    """Return the pictures of a folder; the label is -1 if they are not in class folders.

    What is passed over is said.

    Raises:
        DataError: no pictures, or folders of other classes.
    """
    if not root.is_dir():
        raise DataError(f"no folder of photos at {root}")
    passed = Passed()
    if not subfolders(root, passed)[0]:
        found = [
            Picture(file.path, -1)
            for file in files_below(root, passed)
            if folders.is_picture_name(file.name)
        ]
        if not found:
            raise DataError(f"no pictures in {root}")
        return found
    listing = folders.read(root, "test")
    for note in filter(None, (*listing.notes, listing.passed.sentence(root))):
        say(note)
    numbers = {name: number for number, name in enumerate(classes)}
    shown = dict(zip(listing.classes, folders.display_names(list(listing.classes)), strict=True))
    others = [name for name in listing.classes if not {name, shown[name]} & numbers.keys()]
    if others:
        raise DataError(
            f"{len(others)} folders in {root} are named after none of the classes "
            f"({shorten(others, 3)}): name each folder as its class is in the file of classes"
        )
    return [
        Picture(one.path, numbers.get(name, numbers.get(shown[name], -1)), one.place)
        for name, samples in listing.classes.items()
        for one in samples
    ]


def _measure(
    network: nn.Module,
    listed: Sequence[Picture],
    transform: EvaluationTransform,
    say: Callable[[str], None],
) -> Measured:
    """Compute the logits of the pictures in batches; those that cannot be read are counted."""
    found = Measured()
    logits, labels = [], []
    pictures = _inputs(listed, transform, found)
    with torch.inference_mode():
        while batch := list(islice(pictures, _BATCH)):
            logits.append(network(torch.stack([pixels for pixels, _ in batch])))
            labels += [label for _, label in batch]
    if logits:
        found.logits, found.labels = torch.cat(logits), torch.tensor(labels)
    if listed and not labels:
        raise DataError(
            f"none of the {len(found.unreadable)} photos can be read "
            f"({shorten(found.unreadable, 3)}): give JPEG, PNG or WebP pictures"
        )
    if found.unreadable:
        say(f"{len(found.unreadable)} photos are unreadable: {shorten(found.unreadable, 3)}")
    return found


def _inputs(
    listed: Sequence[Picture], transform: EvaluationTransform, found: Measured
) -> Iterator[tuple[torch.Tensor, int]]:
    for picture in listed:
        try:
            yield torch.from_numpy(transform.read(picture.read())), picture.label
        except (ImageError, ShardError, OSError):
            found.unreadable.append(picture.path.name)


def _golden(listed: Sequence[Picture], transform: EvaluationTransform) -> list[Image.Image]:
    """Return a few of the pictures, of different classes; made ones if there are none."""
    chosen: list[Image.Image] = []
    for picture in (*listed[:: max(1, len(listed) // GOLDEN_PICTURES)], *listed):
        if len(chosen) == GOLDEN_PICTURES:
            break
        try:
            chosen.append(decode(picture.read(), at_least=transform.at_least))
        except (ImageError, ShardError, OSError):
            continue  # counted when it was measured
    return chosen or [_made(seed, transform.resize) for seed in range(GOLDEN_PICTURES)]


def _made(seed: int, side: int) -> Image.Image:
    """Return a picture of coloured patches with soft edges."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 256, (6, 8, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(patches.numpy()).resize((side * 4 // 3, side))


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

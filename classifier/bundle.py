"""The bundle: training writes it and serving loads it. Plain tensors and JSON, never a pickle.

    model.safetensors    the network's weights, float32
    kennel.json          format, architecture, classes in order, transform, provenance
    golden.safetensors   a few small JPEGs and their logits

`kennel.json` has the SHA-256 of the other two and of itself, so a damaged or edited bundle is
refused. With the golden pictures a server proves that its decoder, transform and network give the
logits of training.
"""

import hashlib
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from torch import nn

from classifier import mirror, networks, unbundled
from classifier.calibration import Novelty
from classifier.transform import EvaluationTransform
from pictures.decoder import ImageError, decode
from pictures.text import printable

# Format 2 adds `novelty`, 3 `test_time_flip`. A bundle without them is written in the older format,
# which older servers can read.
FORMAT = 3
FILES = MODEL, DESCRIPTION, GOLDEN = "model.safetensors", "kennel.json", "golden.safetensors"
# Float32 on another processor changes logits by about 1e-5 of their size. Another decoder,
# transform or weight changes them far more than this tolerance.
TOLERANCE = 1e-3
# The largest that a bundle can ask for. Training writes four golden pictures, of crops up to 1024.
_MOST_CLASSES, _MOST_PHOTOS = 100_000, 16
_MOST_CROP, _MOST_RESIZE = 2048, 4096
_MOST_JSON = 2**26  # bytes


class BundleError(ValueError):
    """A bundle that cannot be used; the message has the reason and the fix."""


class Description(BaseModel):
    """The contents of kennel.json, without the checksums."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    architecture: str
    # Display names, in the order of the outputs.
    classes: tuple[str, ...] = Field(min_length=2, max_length=_MOST_CLASSES)
    folders: tuple[str, ...]  # the folder of each class in the training data
    transform: EvaluationTransform
    # Probabilities are softmax(logits / temperature).
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    novelty: Novelty | None = None  # how different a picture is from the training pictures
    test_time_flip: bool = False  # logits are the mean of the picture and its mirror image
    training: dict[str, JsonValue] = {}  # provenance: hyperparameters, data counts, versions
    metrics: dict[str, float] = {}

    @model_validator(mode="after")
    def _one_folder_a_class(self) -> "Description":
        if len(self.folders) != len(self.classes):
            raise ValueError(f"{len(self.folders)} folders for {len(self.classes)} classes")
        return self

    @model_validator(mode="after")
    def _bounded(self) -> "Description":
        transform = self.transform
        if transform.crop > _MOST_CROP or transform.resize > _MOST_RESIZE:
            raise ValueError(
                f"crop {transform.crop} and resize {transform.resize}: "
                f"at most {_MOST_CROP} and {_MOST_RESIZE} are possible"
            )
        quantiles = self.novelty.quantiles if self.novelty else ()
        if not all(map(math.isfinite, (*transform.mean, *transform.std, *quantiles))):
            raise ValueError("mean, std and the quantiles of novelty must be finite numbers")
        return self


@dataclass(frozen=True)
class Golden:
    """JPEG bytes, and their float32 logits [photos, classes]."""

    photos: tuple[bytes, ...]
    logits: torch.Tensor


@dataclass(frozen=True)
class Bundle:
    """A complete classifier: the network is float32, on the CPU, in evaluation mode."""

    description: Description
    network: nn.Module
    golden: Golden


def make(network: nn.Module, description: Description, photos: Sequence[Image.Image]) -> Bundle:
    """Make a bundle from a trained network and a few upright RGB pictures.

    With `test_time_flip` the network must already average both views (`mirror.add_test_time_flip`).
    The pictures are shrunk and lose their metadata. Their logits are computed here, in float32 on
    the CPU.
    """
    network = network.to(device="cpu", dtype=torch.float32)
    network = network.to(memory_format=torch.contiguous_format)
    network.eval().requires_grad_(False)
    small = tuple(_thumbnail(photo, description.transform.resize) for photo in photos)
    if not small:
        raise BundleError("a bundle needs at least one golden picture")
    logits = _logits(description.transform, small, network)
    return Bundle(description, network, Golden(small, logits))


def save(bundle: Bundle, directory: Path) -> None:
    """Write a bundle into `directory`, kennel.json last: a half-written bundle does not load."""
    directory.mkdir(parents=True, exist_ok=True)
    golden = {
        f"photo.{index}": torch.frombuffer(bytearray(photo), dtype=torch.uint8)
        for index, photo in enumerate(bundle.golden.photos)
    }
    state = {name: value.contiguous() for name, value in bundle.network.state_dict().items()}
    files = {
        MODEL: safetensors.torch.save(state),
        GOLDEN: safetensors.torch.save(golden | {"logits": bundle.golden.logits.contiguous()}),
    }
    description = bundle.description
    without = {"novelty"} if description.novelty is None else set()
    without |= set() if description.test_time_flip else {"test_time_flip"}
    contents = {
        "format": FORMAT if description.test_time_flip else 2 if description.novelty else 1,
        **description.model_dump(mode="json", exclude=without),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    contents["digest"] = _digest(contents)
    files[DESCRIPTION] = (json.dumps(contents, indent=1, ensure_ascii=False) + "\n").encode()
    for name, data in files.items():
        partial = directory / f".{name}.partial"
        partial.write_bytes(data)
        partial.replace(directory / name)


def load(directory: Path) -> Bundle:
    """Load a bundle and check all of it.

    Raises:
        BundleError: missing, damaged, edited, of a newer format, or inconsistent. Anything that
            fails while a bundle loads is a BundleError, because a bundle can be anything.
    """
    try:
        return _load(directory)
    except BundleError:
        raise
    except Exception as error:
        reason = printable(f"{type(error).__name__}: {error}"[:500])
        raise BundleError(
            f"{directory} does not load ({reason}): fetch the bundle again"
        ) from error


def describe(directory: Path) -> Description:
    """Read kennel.json alone, for a model that is not the bundle's network.

    Raises:
        BundleError: missing, damaged, edited or of a newer format.
    """
    return _read_description(directory)[0]


def _load(directory: Path) -> Bundle:
    description, hashes = _read_description(directory)
    state = _read_tensors(directory, MODEL, hashes)
    if not any(tensor.shape[:1] == (len(description.classes),) for tensor in state.values()):
        # Checked before the network is built: its head takes memory for each class.
        raise BundleError(
            f"{directory / MODEL} is not a {description.architecture} with "
            f"{len(description.classes)} classes: no weights have this many rows"
        )
    try:
        network = networks.blank(
            description.architecture,
            len(description.classes),
            image_size=description.transform.crop,
        )
        _check_types(state, network)
        network.load_state_dict(state, assign=True)
    except (ValueError, RuntimeError) as error:
        raise BundleError(
            f"{directory / MODEL} is not a {description.architecture} with "
            f"{len(description.classes)} classes: {error}"
        ) from error
    network.eval().requires_grad_(False)
    if description.test_time_flip:
        mirror.add_test_time_flip(network)
    return Bundle(description, network, _golden(directory, len(description.classes), hashes))


def replay(bundle: Bundle, predict: Callable[[torch.Tensor], torch.Tensor] | None = None) -> float:
    """Compute the logits of the golden pictures again, with decoder, transform and network.

    Args:
        bundle: as loaded.
        predict: float32 [B, 3, H, W] -> logits [B, classes]; the bundle's own network when None.

    Returns:
        The largest difference from the golden logits, relative to the largest of them if that is
        over 1; infinite if a logit is not a number. Up to `TOLERANCE` is good.
    """
    recorded = bundle.golden.logits
    logits = _logits(bundle.description.transform, bundle.golden.photos, predict or bundle.network)
    difference = (logits - recorded).abs().max() / max(1.0, recorded.abs().max().item())
    return difference.item() if torch.isfinite(difference) else float("inf")


def _logits(
    transform: EvaluationTransform,
    photos: Sequence[bytes],
    predict: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    with torch.inference_mode():
        batch = torch.stack([transform.read(photo) for photo in photos])
        return predict(batch).float().cpu().clone()


def _thumbnail(photo: Image.Image, short_side: int) -> bytes:
    scale = short_side / min(photo.size)
    if scale < 1:
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    buffer = io.BytesIO()
    photo.convert("RGB").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _read_description(directory: Path) -> tuple[Description, dict[str, str]]:
    path = directory / DESCRIPTION
    if not path.is_file():
        inside = ", ".join(sorted(p.name for p in directory.glob("*"))[:5]) or "nothing"
        if how := unbundled.explain(directory):
            raise BundleError(f"no {DESCRIPTION} in {directory}: {how}")
        raise BundleError(
            f"no {DESCRIPTION} in {directory} (found: {inside}): a bundle has {DESCRIPTION}, "
            f"{MODEL} and {GOLDEN} at its root, as in a Kennel training job's model.tar.gz"
        )
    if path.stat().st_size > _MOST_JSON:
        raise BundleError(f"{path} has more than {_MOST_JSON:,} bytes: use the original")
    try:
        contents: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON ({error}): fetch the bundle again") from error
    version = contents.get("format") if isinstance(contents, dict) else None
    if type(version) is not int or version < 1:
        raise BundleError(f"{path} has no bundle format: it was not written by Kennel")
    if version > FORMAT:
        raise BundleError(
            f"{path} has bundle format {version}, this Kennel reads up to {FORMAT}: "
            "serve it with an image at least as new as the one that trained it"
        )
    digest, files = contents.pop("digest", None), contents.get("files")
    if digest != _digest(contents) or not isinstance(files, dict):
        raise BundleError(
            f"{path} was changed after training (its checksum does not match): use the original"
        )
    fields = {name: contents[name] for name in contents if name not in ("format", "files")}
    try:
        return Description.model_validate(fields), files
    except ValidationError as error:
        raise BundleError(f"{path} does not describe a classifier: {error}") from error


def _read_tensors(directory: Path, name: str, hashes: dict[str, str]) -> dict[str, torch.Tensor]:
    path = directory / name
    if not path.is_file():
        raise BundleError(f"{name} is missing from {directory}: fetch the bundle again")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != hashes.get(name):
        raise BundleError(
            f"{path} was changed or damaged after training (its checksum does not match): "
            "fetch the bundle again"
        )
    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise BundleError(f"{path} is not a safetensors file: {error}") from error


def _golden(directory: Path, classes: int, hashes: dict[str, str]) -> Golden:
    tensors = _read_tensors(directory, GOLDEN, hashes)
    logits = tensors.pop("logits", torch.empty(0))
    if not tensors or logits.shape != (len(tensors), classes):
        raise BundleError(
            f"{directory / GOLDEN} has {len(tensors)} pictures and logits of shape "
            f"{tuple(logits.shape)}, for {classes} classes: save the bundle again"
        )
    if logits.dtype != torch.float32 or not logits.isfinite().all():
        raise BundleError(f"{directory / GOLDEN} has logits that are not finite float32 numbers")
    names = [f"photo.{index}" for index in range(len(tensors))]
    if len(names) > _MOST_PHOTOS or tensors.keys() != set(names):
        raise BundleError(
            f"{directory / GOLDEN} does not have photo.0 and so on, at most {_MOST_PHOTOS} pictures"
        )
    photos = []
    for name in names:
        if tensors[name].dtype != torch.uint8 or tensors[name].ndim != 1:
            raise BundleError(f"{name} in {directory / GOLDEN} is not the bytes of a picture")
        photos.append(bytes(tensors[name].numpy()))
        try:
            decode(photos[-1], at_least=1)  # no more pixels than any picture
        except ImageError as error:
            raise BundleError(
                f"{name} in {directory / GOLDEN} is not a usable picture: {error}"
            ) from error
    return Golden(tuple(photos), logits)


def _check_types(state: dict[str, torch.Tensor], network: nn.Module) -> None:
    """Raise ValueError if weights have another type than the network's: they would be used so."""
    for name, tensor in network.state_dict().items():
        if name in state and state[name].dtype != tensor.dtype:
            raise ValueError(f"{name} is {state[name].dtype}, not {tensor.dtype}")


def _digest(contents: dict[str, Any]) -> str:
    canonical = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()

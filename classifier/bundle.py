"""The bundle: training writes it and serving loads it. Plain tensors and JSON, never a pickle.

    model.safetensors    the network's weights, float32
    kennel.json          format, architecture, classes in order, transform, provenance
    golden.safetensors   a few small JPEGs and their logits
    model.onnx           the network in the open format, where it exports
    model.int8.onnx      the same in 8 bits, where that costs no accuracy

`kennel.json` has the SHA-256 of the others and of itself, so a damaged or edited bundle is
refused. With the golden pictures a server proves that its decoder, transform and network give the
logits of training. This module is the half that needs torch: `classifier/description.py` and
`classifier/golden.py` read a bundle without it.
"""

import contextlib
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from classifier import golden, mirror, networks
from classifier.description import (
    DESCRIPTION,
    EXPORTS,
    FILES,
    FORMAT,
    GOLDEN,
    MODEL,
    PACKED,
    BundleError,
    Described,
    Description,
    check_name,
    describe,
    loading,
    read,
)
from classifier.golden import TOLERANCE, Golden
from classifier.transform import Floats

__all__ = [
    "DESCRIPTION",
    "FILES",
    "FORMAT",
    "GOLDEN",
    "MODEL",
    "PACKED",
    "TOLERANCE",
    "Bundle",
    "BundleError",
    "Description",
    "Golden",
    "check_name",
    "describe",
    "load",
    "make",
    "on_arrays",
    "pack",
    "put",
    "replacing",
    "replay",
    "save",
    "tidy",
]


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
    small = golden.shrink(photos, description.transform.resize)
    logits = on_arrays(network)(golden.inputs(small, description.transform))
    return Bundle(description, network, Golden(small, logits))


def save(bundle: Bundle, directory: Path) -> None:
    """Write a bundle into `directory`, kennel.json last: a half-written bundle does not load.

    Exports are of the weights they were made from, so the bundle is written without them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in bundle.network.state_dict().items()}
    files = {MODEL: safetensors.torch.save(state), GOLDEN: bundle.golden.encode()}
    description = bundle.description.model_copy(update={"export": None})
    put(directory, files | {DESCRIPTION: description.encode(files)})
    for name in EXPORTS:
        (directory / name).unlink(missing_ok=True)


def put(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files of a bundle in their order; each is either whole or not there."""
    for name, data in files.items():
        with replacing(directory / name) as partial:
            partial.write_bytes(data)


def pack(directory: Path, target: Path) -> None:
    """Write an archive with the files of a bundle first, and whatever else its folder has."""
    target.parent.mkdir(parents=True, exist_ok=True)
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    first = [name for name in FILES if name in found]
    with replacing(target) as partial, tarfile.open(partial, "w:gz", compresslevel=1) as packed:
        for name in (*first, *sorted(found - {*first})):
            packed.add(directory / name, name)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield the name of a file to write, which becomes `target` as a whole or is removed."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        if error.filename is None:  # such as a full disk
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def tidy(directory: Path) -> None:
    """Remove what an export that was ended early has left in a bundle's folder."""
    found = describe(directory).export
    for name in EXPORTS:
        if found is None or name not in found.files:
            (directory / name).unlink(missing_ok=True)
    for left in directory.glob(".*.partial"):
        left.unlink()


def load(directory: Path) -> Bundle:
    """Load a bundle and check all of it, except its exports.

    Raises:
        BundleError: missing, damaged, edited, of a newer format, or inconsistent. Anything that
            fails while a bundle loads is a BundleError, because a bundle can be anything.
    """
    with loading(directory):
        described = read(directory)
        network = _network(described)
        return Bundle(described.description, network, golden.read(described))


def replay(bundle: Bundle, predict: golden.Predict | None = None) -> float:
    """Compute the logits of the golden pictures again, with decoder, transform and network.

    Args:
        bundle: as loaded.
        predict: float32 [B, 3, H, W] -> logits [B, classes]; the bundle's own network when None.

    Returns:
        The difference, as `Golden.difference`. Up to `TOLERANCE` is good.
    """
    own = on_arrays(bundle.network)
    return bundle.golden.replay(bundle.description.transform, predict or own)


def on_arrays(network: Callable[[torch.Tensor], torch.Tensor]) -> golden.Predict:
    """Return a network of tensors as one of numpy's arrays, without gradients."""

    def predict(pixels: Floats) -> Floats:
        with torch.inference_mode():
            logits: Floats = network(torch.from_numpy(pixels)).float().cpu().clone().numpy()
        return logits

    return predict


def _network(described: Described) -> nn.Module:
    description, path = described.description, described.directory / MODEL
    try:
        state = safetensors.torch.load(described.contents(MODEL))
    except safetensors.SafetensorError as error:
        raise BundleError(f"{path} is not a safetensors file: {error}") from error
    what = f"{path} is not a {description.architecture} with {len(description.classes)} classes"
    if not any(tensor.shape[:1] == (len(description.classes),) for tensor in state.values()):
        # Checked before the network is built: its head takes memory for each class.
        raise BundleError(f"{what}: no weights have this many rows")
    try:
        network = networks.blank(
            description.architecture,
            len(description.classes),
            image_size=description.transform.crop,
        )
        _check_types(state, network)
        network.load_state_dict(state, assign=True)
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{what}: {error}") from error
    network.eval().requires_grad_(False)
    if description.test_time_flip:
        mirror.add_test_time_flip(network)
    return network


def _check_types(state: dict[str, torch.Tensor], network: nn.Module) -> None:
    """Raise ValueError if weights have another type than the network's: they would be used so."""
    for name, tensor in network.state_dict().items():
        if name in state and state[name].dtype != tensor.dtype:
            raise ValueError(f"{name} is {state[name].dtype}, not {tensor.dtype}")

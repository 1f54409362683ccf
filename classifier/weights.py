"""Pretrained weights: found in a file, a channel, the hub cache or the download, in that order.

Files are read as plain tensors only; nothing in them is ever executed. A bundle of an earlier job,
packed or not, counts too: training goes on from it.
"""

import pickle
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import safetensors
import safetensors.torch
import torch
import torchvision
from torch import nn

from classifier import bundle
from classifier.architectures import canonical
from classifier.networks import head_name

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".tar.gz", ".tgz")
# Parts of torchvision's GoogLeNet and Inception that only help training from scratch.
_SIDE_HEADS = ("aux1.", "aux2.", "AuxLogits.")


class WeightsError(ValueError):
    """Pretrained weights that are missing or do not fit; the message says what to do."""


def load_pretrained(
    network: nn.Module,
    architecture: str,
    *,
    file: Path | None = None,
    channel: Path | None = None,
    folders: Sequence[str] = (),
) -> str:
    """Fill everything but the head of `network` with pretrained weights.

    Those of a bundle fill the head too where it tells the same classes.

    Args:
        network: from `networks.build`.
        architecture: its name, which chooses the hub weights.
        file: a `.pth`, `.pt`, `.bin` (plain state dict) or `.safetensors` file; or a bundle's
            folder or `.tar.gz`.
        channel: a folder that holds such a file, SageMaker's `pretrained` channel.
        folders: the classes, as a bundle's `folders`.

    Returns:
        Where the weights came from, for the record.

    Raises:
        WeightsError: no weights to be had, or they are of another network.
    """
    chosen = file or (_choose(channel, architecture) if channel else None)
    origin = chosen.name if chosen else ""
    if chosen and channel and not file:
        origin = f"channel pretrained: {origin}"
    if chosen and _is_bundle(chosen):
        return origin + _go_on(network, architecture, chosen, folders)
    if chosen:
        state = read(chosen)
    else:
        state, origin = _from_hub(architecture)
    _fill(network, state, f"{origin} does not hold weights of {architecture}")
    return origin


def read(file: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, float32, without the wrappings people save around one.

    Raises:
        WeightsError: no such file, or not plain tensors.
    """
    if not file.is_file():
        raise WeightsError(f"no weights file at {file}: check the path, or mount the channel")
    try:
        if file.suffix == ".safetensors":
            loaded: object = safetensors.torch.load_file(file)
        else:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{file} holds more than tensors and was not opened, since opening it could run code: "
            "save it again with torch.save(model.state_dict(), path)"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{file} is not a readable weights file: {error}") from error
    for wrapping in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapping), Mapping):
            loaded = loaded[wrapping]
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{file} holds a {type(loaded).__name__}, not a state dict")
    return {
        str(name).removeprefix("module."): value.float() if value.is_floating_point() else value
        for name, value in loaded.items()
        if isinstance(value, torch.Tensor)
    }


def _is_bundle(path: Path) -> bool:
    return path.is_dir() or path.name.endswith((".tar.gz", ".tgz"))


def _go_on(network: nn.Module, architecture: str, path: Path, folders: Sequence[str]) -> str:
    """Fill `network` from a bundle, and return what of it was taken."""
    try:
        with tempfile.TemporaryDirectory() as unpacked:
            left = bundle.load(path if path.is_dir() else _unpack(path, Path(unpacked)))
    except (bundle.BundleError, tarfile.TarError, OSError, EOFError) as error:
        raise WeightsError(f"{path} is not a bundle to go on from: {error}") from error
    there = left.description
    if canonical(there.architecture) != canonical(architecture):
        raise WeightsError(
            f"{path} holds a {there.architecture}, and architecture is {architecture}: set "
            f"architecture={there.architecture}"
        )
    state = left.network.state_dict()
    _fill(network, state, f"{path} does not hold weights of {architecture}")
    if there.folders != tuple(folders):
        return " (a bundle of other classes: all but its head)"
    network.load_state_dict(state)
    return " (a bundle: its head too)"


def _unpack(archive: Path, folder: Path) -> Path:
    """Take a bundle's three files, and nothing else, out of an archive."""
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if name in (bundle.MODEL, bundle.DESCRIPTION, bundle.GOLDEN) and member.isfile():
                member.name = name
                tar.extract(member, folder, filter="data")
    return folder


def _choose(channel: Path, architecture: str) -> Path:
    """Return the one weights file in a channel, or the one named after the network."""
    if (channel / bundle.DESCRIPTION).is_file():
        return channel
    files = sorted(path for path in channel.rglob("*") if path.name.endswith(SUFFIXES))
    named = [path for path in files if canonical(architecture) in path.name]
    if len(files) == 1 or len(named) == 1:
        return (named or files)[0]
    found = ", ".join(path.name for path in files) or "none"
    raise WeightsError(
        f"the channel at {channel} must hold one weights file ({', '.join(SUFFIXES)}), or one with "
        f"{architecture} in its name; found: {found}"
    )


def _from_hub(architecture: str) -> tuple[dict[str, torch.Tensor], str]:
    weights = torchvision.models.get_model_weights(canonical(architecture))
    entry = weights["IMAGENET1K_V1"] if "IMAGENET1K_V1" in weights.__members__ else weights.DEFAULT
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    file = cache / Path(urlparse(entry.url).path).name
    if file.is_file():
        return read(file), f"hub cache: {file.name}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # check_hash: the name carries the first digits of the file's SHA-256.
        torch.hub.load_state_dict_from_url(
            entry.url, map_location="cpu", weights_only=True, check_hash=True
        )
    except (OSError, URLError, RuntimeError) as error:
        raise WeightsError(
            f"the pretrained weights of {architecture} could not be downloaded ({error}). "
            "Without internet (network isolation, a private VPC) supply them: add an input channel "
            f"named `pretrained` with {file.name} in it, or set the hyperparameter weights to a "
            f"file's path, or put the file into {cache}; weights=none starts from random ones"
        ) from error
    return read(file), f"downloaded: {file.name}"


def _fill(network: nn.Module, state: Mapping[str, torch.Tensor], complaint: str) -> None:
    """Copy every tensor but the head's and check that nothing is missing, left over, misshapen."""
    prefix = head_name(network) + "."
    own = network.state_dict()
    wanted = {name for name in own if not name.startswith(prefix)}
    given = {
        name: value
        for name, value in state.items()
        if not name.startswith((prefix, *_SIDE_HEADS)) and name in wanted
    }
    # Older files lack this counter, which evaluation does not read.
    missing = {name for name in wanted - given.keys() if not name.endswith("num_batches_tracked")}
    misshapen = [
        f"{name} {tuple(value.shape)} instead of {tuple(own[name].shape)}"
        for name, value in given.items()
        if value.shape != own[name].shape
    ]
    foreign = [
        name
        for name in state
        if name not in own and not name.startswith((prefix, *_SIDE_HEADS, "classifier."))
    ]
    problems = [f"missing {name}" for name in sorted(missing)[:3]]
    problems += [f"unknown {name}" for name in foreign[:3]]
    problems += misshapen[:3]
    if problems:
        raise WeightsError(f"{complaint}: {'; '.join(problems)}")
    network.load_state_dict(given, strict=False)

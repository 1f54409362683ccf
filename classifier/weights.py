"""Pretrained weights: from a file, a channel, the hub cache or the download, in that order.

Files are read as plain tensors only; nothing in them is ever executed. A bundle of an earlier job
or its model.tar.gz can be used too: training continues from it.
"""

import pickle
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import safetensors
import safetensors.torch
import torch
from torch import nn

from classifier import bundle, networks
from classifier.architectures import canonical
from pictures import archive

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".tar.gz", ".tgz")
# Auxiliary heads of torchvision's GoogLeNet and Inception, for training from scratch only.
_AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")


class WeightsError(ValueError):
    """Pretrained weights that are missing or do not fit; the message says how to fix it."""


def load_pretrained(
    network: nn.Module,
    architecture: str,
    *,
    file: Path | None = None,
    channel: Path | None = None,
    folders: Sequence[str] = (),
) -> str:
    """Load pretrained weights into all of `network` except the head.

    A bundle with the same classes fills the head too.

    Args:
        network: from `networks.build`.
        architecture: its name, which selects the hub weights.
        file: a `.pth`, `.pt`, `.bin` (plain state dict) or `.safetensors` file; or a bundle's
            folder or `.tar.gz`.
        channel: a folder with such a file, SageMaker's `pretrained` channel.
        folders: of the classes, as in a bundle's `folders`.

    Returns:
        The source of the weights, for the bundle's provenance.

    Raises:
        WeightsError: no weights were found, or they are of another network.
    """
    chosen = file or (_choose(channel, architecture) if channel else None)
    origin = chosen.name if chosen else ""
    if chosen and channel and not file:
        origin = f"channel pretrained: {origin}"
    if chosen and _is_bundle(chosen):
        return origin + _load_bundle(network, architecture, chosen, folders)
    if chosen:
        state = read(chosen)
    else:
        state, origin = _from_hub(architecture)
    _fill(network, state, f"{origin} does not have weights of {architecture}")
    return origin


def read(file: Path) -> dict[str, torch.Tensor]:
    """Read a state dict as float32, from inside the wrappers that are often saved around it.

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
            f"{file} has more than tensors and was not opened, since opening it could run code: "
            "save it again with torch.save(model.state_dict(), path)"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{file} is not a readable weights file: {error}") from error
    for wrapper in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{file} has a {type(loaded).__name__}, not a state dict")
    return {
        str(name).removeprefix("module."): value.float() if value.is_floating_point() else value
        for name, value in loaded.items()
        if isinstance(value, torch.Tensor)
    }


def _is_bundle(path: Path) -> bool:
    return path.is_dir() or path.name.endswith((".tar.gz", ".tgz"))


def _load_bundle(network: nn.Module, architecture: str, path: Path, folders: Sequence[str]) -> str:
    """Fill `network` from a bundle, and return which part of it was used."""
    try:
        with tempfile.TemporaryDirectory() as unpacked:
            if not path.is_dir():
                archive.unpack(path, Path(unpacked), wanted=bundle.FILES.__contains__)
            loaded = bundle.load(path if path.is_dir() else Path(unpacked))
    except (bundle.BundleError, archive.ArchiveError, OSError) as error:
        raise WeightsError(f"{path} is not a usable bundle: {error}") from error
    description = loaded.description
    if canonical(description.architecture) != canonical(architecture):
        raise WeightsError(
            f"{path} has a {description.architecture}, but architecture is {architecture}: set "
            f"architecture={description.architecture}"
        )
    state = loaded.network.state_dict()
    _fill(network, state, f"{path} does not have weights of {architecture}")
    if description.folders != tuple(folders):
        return " (a bundle of other classes: all but its head)"
    network.load_state_dict(state)
    return " (a bundle: its head too)"


def _choose(channel: Path, architecture: str) -> Path:
    """Return the only weights file of a channel, or the only one named after the network."""
    if (channel / bundle.DESCRIPTION).is_file():
        return channel
    files = sorted(path for path in channel.rglob("*") if path.name.endswith(SUFFIXES))
    named = [path for path in files if canonical(architecture) in path.name]
    if len(files) == 1 or len(named) == 1:
        return (named or files)[0]
    found = ", ".join(path.name for path in files) or "none"
    raise WeightsError(
        f"the channel at {channel} must have one weights file ({', '.join(SUFFIXES)}), or one with "
        f"{architecture} in its name; found: {found}"
    )


def _from_hub(architecture: str) -> tuple[dict[str, torch.Tensor], str]:
    try:
        entry = networks.pretrained(architecture)
    except ValueError as error:
        raise WeightsError(
            f"torchvision has no pretrained weights of {architecture}: add an input channel named "
            "`pretrained` with a weights file, or set the hyperparameter weights to a file's path; "
            "weights=none starts from random ones"
        ) from error
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


def _fill(network: nn.Module, state: Mapping[str, torch.Tensor], error: str) -> None:
    """Copy every tensor except the head's; nothing may be missing, unknown or of another shape."""
    prefix = networks.head_name(network) + "."
    own = network.state_dict()
    wanted = {name for name in own if not name.startswith(prefix)}
    usable = {
        name: value
        for name, value in state.items()
        if not name.startswith((prefix, *_AUXILIARY_HEADS)) and name in wanted
    }
    # Older files lack this counter, which evaluation does not use.
    missing = {name for name in wanted - usable.keys() if not name.endswith("num_batches_tracked")}
    misshapen = [
        f"{name} {tuple(value.shape)} instead of {tuple(own[name].shape)}"
        for name, value in usable.items()
        if value.shape != own[name].shape
    ]
    unknown = [
        name
        for name in state
        if name not in own and not name.startswith((prefix, *_AUXILIARY_HEADS, "classifier."))
    ]
    problems = [f"missing {name}" for name in sorted(missing)[:3]]
    problems += [f"unknown {name}" for name in unknown[:3]]
    problems += misshapen[:3]
    if problems:
        raise WeightsError(f"{error}: {'; '.join(problems)}")
    network.load_state_dict(usable, strict=False)

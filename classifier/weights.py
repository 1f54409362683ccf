"""Pretrained weights: from a file, a channel, the hub cache or the download, in that order.

Files are read as plain tensors only; nothing in them is ever executed. A bundle of an earlier job
or its model.tar.gz can be used too: training continues from it.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import nn

from classifier import bundle, matching, networks, statedict, unbundled
from classifier.architectures import canonical, mentioned
from classifier.statedict import WeightsError as WeightsError
from pictures import archive

SUFFIXES = (*unbundled.WEIGHTS, ".tar.gz", ".tgz")


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
        file: of torch.save (a state dict, also inside a checkpoint), safetensors or TorchScript;
            or a bundle's folder or `.tar.gz`.
        channel: a folder with such a file, SageMaker's `pretrained` channel.
        folders: of the classes, as in a bundle's `folders`.

    Returns:
        The source of the weights and what was done with them, for the log and the provenance.

    Raises:
        WeightsError: no weights were found, or they are of another network.
    """
    chosen = file or (_choose(channel, architecture) if channel else None)
    origin = chosen.name if chosen else ""
    if chosen and channel and not file:
        origin = f"channel pretrained: {origin}"
    if chosen and _is_bundle(chosen):
        return origin + _load_bundle(network, architecture, chosen, folders)
    if not chosen:
        chosen, origin = _from_hub(architecture)
    return origin + _fill(network, statedict.read(chosen), origin, architecture)


def continued(
    architecture: str, *, file: Path | None = None, channel: Path | None = None
) -> bundle.Description | None:
    """Return the description of the bundle that `load_pretrained` would load, if it is a bundle.

    Raises:
        WeightsError: the channel has no weights file or several, or the bundle cannot be used.
    """
    chosen = file or (_choose(channel, architecture) if channel else None)
    if not chosen or not _is_bundle(chosen):
        return None
    try:
        with tempfile.TemporaryDirectory() as unpacked:
            if not chosen.is_dir():
                archive.unpack(chosen, Path(unpacked), wanted=bundle.DESCRIPTION.__eq__)
            return bundle.describe(chosen if chosen.is_dir() else Path(unpacked))
    except (bundle.BundleError, archive.ArchiveError, OSError) as error:
        raise WeightsError(f"{chosen} is not a usable bundle: {error}") from error


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
    same = description.folders == tuple(folders)
    notes = _fill(network, state, str(path), architecture, with_head=same)
    what = "a bundle: its head too" if same else "a bundle of other classes: all but its head"
    return f" ({what}){notes}"


def _choose(channel: Path, architecture: str) -> Path:
    """Return the only weights file of a channel, or the only one named after the network."""
    if (channel / bundle.DESCRIPTION).is_file():
        return channel
    files = sorted(path for path in channel.rglob("*") if path.name.endswith(SUFFIXES))
    named = [path for path in files if canonical(architecture) in mentioned(path.name)]
    if len(files) == 1 or len(named) == 1:
        return (named or files)[0]
    found = ", ".join(path.name for path in files) or "none"
    raise WeightsError(
        f"the channel at {channel} must have one weights file ({', '.join(SUFFIXES)}), or one with "
        f"{architecture} in its name; found: {found}"
    )


def _fill(
    network: nn.Module,
    tensors: dict[str, torch.Tensor],
    origin: str,
    architecture: str,
    *,
    with_head: bool = False,
) -> str:
    """Copy the tensors into the network; return in words what was done with them."""
    try:
        match = matching.match(tensors, network, with_head=with_head)
    except WeightsError as error:
        raise WeightsError(f"{origin} does not have weights of {architecture}: {error}") from error
    network.load_state_dict(match.state, strict=False)
    return f" ({'; '.join(match.notes)})" if match.notes else ""


def _from_hub(architecture: str) -> tuple[Path, str]:
    """Return the file of torchvision's weights, after a download if it is not there."""
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
        return file, f"hub cache: {file.name}"
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
    return file, f"downloaded: {file.name}"

"""The tensors of weights files, by their names. Nothing in a file is ever executed."""

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from classifier import foreign, torchscript
from pictures.text import printable

MOST_BYTES = 2**33  # of a file
MOST_NUMBERS = 2**30  # of all tensors in a file: the largest network of torchvision has 0.65e9
_MOST_TENSORS = 100_000
_MOST_PICKLE = 2**26  # bytes that describe the tensors of a file, without their numbers
_DEEPEST = 6  # dictionaries inside each other
# What other files begin with.
_OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself with `git lfs pull`",
    b"\x89HDF": "an HDF5 file, as Keras writes it: Kennel reads weights of PyTorch",
    b"<": "HTML or XML: probably an error page of a download",
    b"\x1f\x8b": "compressed with gzip: unpack it first",
    b"{": "JSON: give the file with the tensors",
}
# Modules that wrap another one without a name of the user's: torch.compile, checkpointing, FSDP.
_WRAPPERS = re.compile(r"\b(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")


class WeightsError(ValueError):
    """Weights that are missing or do not fit; the message says how to fix it."""


def read(file: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of a file; dots join the names of the dictionaries around them.

    Args:
        file: of torch.save, safetensors or TorchScript; the bytes decide which.

    Raises:
        WeightsError: no such file, too large, or not plain tensors.
    """
    if not file.is_file():
        raise WeightsError(f"no weights file at {file}: check the path, or mount the channel")
    if file.stat().st_size > MOST_BYTES:
        raise WeightsError(f"{file} has more than {MOST_BYTES:,} bytes")
    with file.open("rb") as opened:
        beginning = opened.read(64)
    for magic, what in _OTHERS.items():
        if beginning.startswith(magic) and not _is_safetensors(beginning):
            raise WeightsError(f"{file} is {what}")
    try:
        tensors = dict(_named(_load(file, beginning)))
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if not found:
            raise WeightsError(f"{file} is not a readable weights file: {_first(error)}") from error
        raise WeightsError(
            f"{file} has more than tensors ({printable(found[1])[:100]}) and was not opened, since "
            "opening it could run code: save it again with torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # a file can be anything
        raise WeightsError(f"{file} is not a readable weights file: {_first(error)}") from error
    if not tensors:
        raise WeightsError(f"{file} has no tensors: save model.state_dict(), not only its settings")
    if sum(tensor.numel() for tensor in tensors.values()) > MOST_NUMBERS:
        raise WeightsError(f"{file} has more than {MOST_NUMBERS:,} numbers")
    return foreign.translate(tensors)


def _load(file: Path, beginning: bytes) -> object:
    if _is_safetensors(beginning):
        return safetensors.torch.load_file(file)
    if beginning.startswith(b"PK"):
        with zipfile.ZipFile(file) as archive:
            _check_archive(archive, file)
            if torchscript.is_archive(archive):
                return torchscript.read(archive)
    return torch.load(file, map_location="cpu", weights_only=True)


def _is_safetensors(beginning: bytes) -> bool:
    return beginning[8:9] == b"{"  # JSON after the length of it


def _check_archive(archive: zipfile.ZipFile, file: Path) -> None:
    """Raise WeightsError if an archive could take far more memory than its file has bytes."""
    # The code of TorchScript is compressed; it is not read.
    entries = [entry for entry in archive.infolist() if "/code/" not in entry.filename]
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise WeightsError(f"{file} is a compressed archive, which torch.save does not write")
    described = [entry for entry in entries if entry.filename.endswith(".pkl")]
    if any(entry.file_size > _MOST_PICKLE for entry in described) or not described:
        raise WeightsError(f"{file} is an archive, but not one of torch.save")


def _named(loaded: object) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of dictionaries inside each other, by their path.

    Raises:
        WeightsError: not a dictionary, or too many tensors.
    """
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"the file has a {type(loaded).__name__}, not a state dict")
    seen = {id(loaded)}
    count = 0
    pending: list[tuple[str, Mapping[object, object], int]] = [("", loaded, 1)]
    while pending:
        path, mapping, depth = pending.pop()
        for key, value in mapping.items():
            name = _WRAPPERS.sub("", f"{path}{key}")
            if isinstance(value, torch.Tensor):
                count += 1
                if count > _MOST_TENSORS:
                    raise WeightsError(f"the file has more than {_MOST_TENSORS:,} tensors")
                yield name, value.detach()
            elif isinstance(value, Mapping) and depth < _DEEPEST and id(value) not in seen:
                seen.add(id(value))
                pending.append((f"{name}.", value, depth + 1))


def _first(error: Exception) -> str:
    lines = printable(str(error).strip().split("\n")[0])[:300]
    return lines or type(error).__name__

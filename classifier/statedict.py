"""The tensors of weights files, by their names. Nothing in a file is ever executed."""

import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from classifier import torchscript
from classifier.description import DESCRIPTION, MODEL
from classifier.unbundled import WEIGHTS
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
    b"<": "HTML or XML: probably an error page of a download; OpenVINO's networks are not read",
    b"\x1f\x8b": "compressed with gzip: unpack it first",
    b"BZh": "compressed with bzip2: unpack it first",
    b"\xfd7zXZ": "compressed with xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard: unpack it first",
    b"7z\xbc\xaf": "an archive of 7-Zip: unpack it first",
    b"Rar!": "an archive of RAR: unpack it first",
    b"GGUF": "GGUF, of language models: Kennel reads weights of PyTorch",
    b"\x93NUMPY": "an array of NumPy: Kennel reads weights of PyTorch",
    b"{": "JSON: give the file with the tensors",
}
# What a file in an archive is named, in archives of other programs.
_ARCHIVES = {
    "archive_format": "a program of torch.export: save its weights with torch.save(torch.export."
    "load(path).state_dict, new_path)",
    "model.weights.h5": "a network of Keras: Kennel reads weights of PyTorch",
    "saved_model.pb": "a SavedModel of TensorFlow: Kennel reads weights of PyTorch",
}
# torch.save's number, pickled, in files of before its zip archives. Source: torch/serialization.py.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
_SAVE = "save it with torch.save(model.state_dict(), path)"
_SAVE_AGAIN = _SAVE.replace("it", "it again", 1)
# Modules that wrap another one without a name of the user's: torch.compile, checkpointing, FSDP.
_WRAPPERS = re.compile(r"\b(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")


class WeightsError(ValueError):
    """Weights that are missing or do not fit; the message says how to fix it."""


class _Plain:
    """Stands for an object of a file that has no code and no weights: nothing of it is kept."""

    def __new__(cls, *_: object) -> "_Plain":
        return super().__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _empty(*_: object) -> dict[object, object]:
    return {}


# What training scripts save next to the weights: torchvision's and timm's arguments, figures of
# NumPy, paths, Lightning's hyperparameters. None of these classes is imported or called.
_ARRAYS = ("scalar", "_reconstruct")
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_LIGHTNING = (
    "lightning.fabric.utilities.data",
    "lightning.pytorch.utilities.parsing",
    "lightning_fabric.utilities.data",
    "pytorch_lightning.utilities.parsing",
)
_STAND_INS: dict[str, Callable[..., object]] = {
    "argparse.Namespace": _Plain,
    "numpy.dtype": _Plain,
    "numpy.ndarray": _Plain,
    **{f"numpy.{core}.multiarray.{name}": _Plain for core in ("core", "_core") for name in _ARRAYS},
    **{f"pathlib.{inner}{name}": _Plain for inner in ("", "_local.") for name in _PATHS},
    "collections.defaultdict": _empty,
    "builtins.list": _Plain,  # what a defaultdict makes
    "builtins.float": _Plain,
    **{f"{module}.AttributeDict": dict for module in _LIGHTNING},
}
# Under which names training scripts save the classes, the network, and how the input was made.
CLASSES = ("class_to_idx", "idx_to_class", "classes", "class_names", "id2label", "label2id")
NETWORKS = ("arch", "architecture")
SIDES = ("img_size", "image_size", "input_size")
_INPUT = re.compile(r"(.*_)?(mean|std)")
_OPTIMISER = re.compile(r"(^|\.)opt")  # the name of one


def read(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file, as `opened`."""
    return opened(file)[0]


def opened(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Return all tensors of a file, and what it says of its classes and input, by their names.

    Dots join the names of the dictionaries around a tensor or another value.

    Args:
        file: of torch.save, safetensors or TorchScript; the bytes decide which.

    Raises:
        WeightsError: no such file, too large, or not plain tensors.
    """
    if file.is_dir():
        if (file / DESCRIPTION).is_file():
            raise WeightsError(
                f"{file} is a bundle of Kennel already: serve it as it is, or give {MODEL} in it"
            )
        inside = min((one.name for one in file.iterdir() if one.name.endswith(WEIGHTS)), default="")
        inside = f", such as {printable(inside)}" if inside else ""
        raise WeightsError(f"{file} is a folder: give the file of weights in it{inside}")
    if not file.is_file():
        raise WeightsError(f"no weights file at {file}: check the path, or mount the channel")
    if file.stat().st_size > MOST_BYTES:
        raise WeightsError(f"{file} has more than {MOST_BYTES:,} bytes")
    with file.open("rb") as opened:
        beginning = opened.read(512)
    for magic, what in _OTHERS.items():
        if beginning.startswith(magic) and not _is_safetensors(beginning):
            raise WeightsError(f"{file} is {what}")
    try:
        loaded = _load(file, beginning)
        tensors = _collect(loaded)
    except WeightsError as error:
        raise WeightsError(f"{file} {error}") from error
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if not found:
            raise WeightsError(f"{file} is not a readable weights file: {_why(error)}") from error
        raise WeightsError(
            f"{file} has more than tensors ({printable(found[1])[:100]}) and was not opened, since "
            f"opening it could run code: {_SAVE_AGAIN}"
        ) from error
    except Exception as error:  # a file can be anything
        raise WeightsError(f"{file} is not a readable weights file: {_why(error)}") from error
    if not tensors:
        raise WeightsError(f"{file} has no tensors: save model.state_dict(), not only its settings")
    if sum(tensor.numel() for tensor in tensors.values()) > MOST_NUMBERS:
        raise WeightsError(f"{file} has more than {MOST_NUMBERS:,} numbers")
    return tensors, _stated(loaded)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of a file have the same type, shape and numbers."""
    if one.dtype != other.dtype or one.device != other.device or one.layout != other.layout:
        return False
    return one.device.type == "meta" or torch.equal(one, other)


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor of a file has numbers, in memory as others have them."""
    ordinary = type(tensor) is torch.Tensor and tensor.layout is torch.strided
    return ordinary and tensor.device.type == "cpu" and not tensor.is_quantized


def _load(file: Path, beginning: bytes) -> object:
    if _is_safetensors(beginning):
        return safetensors.torch.load_file(file)
    if beginning.startswith(b"PK"):
        with zipfile.ZipFile(file) as archive:
            _check_archive(archive, file.stat().st_size)
            if torchscript.is_archive(archive):
                return torchscript.read(archive)
    elif not beginning.strip(b"\0"):
        raise WeightsError("is not a readable weights file: it is empty; fetch it again")
    elif beginning[257:262] == b"ustar":
        raise WeightsError("is an archive of tar: unpack it first")
    elif _OLD_MAGIC not in beginning:
        raise WeightsError(
            "is not a readable weights file: neither torch.save nor safetensors wrote it; take the "
            f"network in PyTorch, and {_SAVE}"
        )
    with torch.serialization.safe_globals([(one, name) for name, one in _STAND_INS.items()]):
        return torch.load(file, map_location="cpu", weights_only=True)


def _stated(loaded: object) -> dict[str, object]:
    """Return what a checkpoint, or a dictionary of settings in it, says of classes and input."""
    if not isinstance(loaded, Mapping):
        return {}
    inner = {f"{key}.": one for key, one in loaded.items() if isinstance(one, Mapping)}
    return {
        f"{path}{key}": value
        for path, one in ({"": loaded} | inner).items()
        for key, value in one.items()
        if (last := str(key).rpartition(".")[2]) in (*CLASSES, *NETWORKS, *SIDES)
        or _INPUT.fullmatch(last)
    }


def _is_safetensors(beginning: bytes) -> bool:
    return beginning[8:9] == b"{"  # JSON after the length of it


def _check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Raise WeightsError if an archive could take far more memory than its file has bytes."""
    names = {entry.filename.rpartition("/")[2] for entry in archive.infolist()}
    for name in _ARCHIVES.keys() & names:
        raise WeightsError(f"is {_ARCHIVES[name]}")
    # The code of TorchScript is compressed; it is not read.
    entries = [entry for entry in archive.infolist() if "/code/" not in entry.filename]
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > size:
        raise WeightsError("is a compressed archive, which torch.save does not write: unpack it")
    described = [entry for entry in entries if entry.filename.endswith(".pkl")]
    if any(entry.file_size > _MOST_PICKLE for entry in described) or not described:
        raise WeightsError(f"is an archive, but not one of torch.save: unpack it, or {_SAVE}")


def _collect(loaded: object) -> dict[str, torch.Tensor]:
    """Return the tensors of dictionaries inside each other, by their path.

    Raises:
        WeightsError: not a dictionary, too many tensors, or different ones of one name.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in _named(loaded):
        if name in tensors and not same(tensors[name], tensor):
            raise WeightsError(
                f"has two tensors for {printable(name)[:100]}, with and without the name of a "
                "wrapper: save the state dict of one network"
            )
        tensors[name] = tensor
    return tensors


def _named(loaded: object) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of dictionaries inside each other, by their path.

    Raises:
        WeightsError: not a dictionary, or too many tensors.
    """
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"has a {type(loaded).__name__}, not a state dict: {_SAVE}")
    seen = {id(loaded)}
    count = 0
    pending: list[tuple[str, Iterable[tuple[object, object]], int]] = [("", loaded.items(), 1)]
    while pending:
        path, items, depth = pending.pop()
        for key, value in items:
            if not isinstance(value, (torch.Tensor, Mapping, list, tuple)):
                continue
            name = _WRAPPERS.sub("", f"{path}{key}")
            if isinstance(value, torch.Tensor):
                count += 1
                if count > _MOST_TENSORS:
                    raise WeightsError(f"has more than {_MOST_TENSORS:,} tensors")
                yield name, value.detach()
            elif depth < _DEEPEST and id(value) not in seen:
                seen.add(id(value))
                if isinstance(value, Mapping):
                    pending.append((f"{name}.", value.items(), depth + 1))
                elif not _OPTIMISER.search(name):
                    # Such as averaged weights, in the order of the parameters.
                    pending.append((f"{name}.", enumerate(value), depth + 1))


def _why(error: Exception) -> str:
    """Return the reason in one line, without torch's advice to run the code of the file."""
    line = printable(str(error).strip().split("\n")[0])[:300] or type(error).__name__
    if isinstance(error, ValueError):  # of classifier.torchscript
        return line
    if isinstance(error, zipfile.BadZipFile):
        line = "its archive is cut short or damaged"
    elif "weights_only" in line:
        line = "it is damaged, or torch.save did not write it"
    return f"{line}; fetch it again, or {_SAVE}"

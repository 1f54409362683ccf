"""The tensors and settings of a TorchScript archive, by the names of their modules.

torch.jit.load would run code of the archive. Here only its description of modules and tensors is
read: no class or function that it names is ever imported.
"""

import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch

_DEEPEST = 32  # modules inside each other
_MOST_MODULES = 100_000
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_archive(archive: zipfile.ZipFile) -> bool:
    """Return whether a zip file is TorchScript and not a file of torch.save."""
    return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read(archive: zipfile.ZipFile) -> dict[str, object]:
    """Return parameters and buffers by their names, as a state dict has them, and plain attributes.

    These are the numbers, lists and dictionaries of the modules, such as the mean of a transform.

    Raises:
        ValueError, pickle.UnpicklingError, KeyError: not a TorchScript archive as torch writes it.
    """
    root = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
    folder = root.removesuffix("data.pkl")
    module = _Reader(io.BytesIO(archive.read(root)), archive, folder).load()
    if not isinstance(module, _Module):
        raise ValueError("TorchScript without a module")
    found = dict(_attributes(module))
    if not any(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(
            "TorchScript that was frozen: its weights have no names any more. Save the state dict "
            "of the network, or the module before torch.jit.freeze"
        )
    return found


class _Module:
    """Stands for any class of the archive; holds its attributes."""

    attributes: Mapping[str, object] = MappingProxyType({})

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.attributes = state


class _Reader(pickle.Unpickler):  # finds only the classes and functions of this file
    def __init__(self, data: io.BytesIO, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(data)
        self._archive, self._folder = archive, folder
        self._storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch.jit._pickle":  # lists of numbers, and type tags around values
            return _first
        raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is no part of TorchScript's modules")

    def persistent_load(self, key: Any) -> torch.Tensor:
        """Return a storage as a flat tensor."""
        _, dtype, name, _, count = key
        if name not in self._storages:
            data = self._archive.read(f"{self._folder}data/{name}")
            self._storages[name] = torch.frombuffer(bytearray(data), dtype=dtype)
        storage = self._storages[name]
        if storage.dtype != dtype or len(storage) < count:
            raise ValueError(f"the tensor {name} is cut short")
        return storage


def _first(value: object, *others: object) -> object:  # noqa: ARG001
    return value


def _tensor(
    storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> torch.Tensor:
    """Return a view of a storage; torch checks that it stays inside."""
    return storage.as_strided(size, stride, offset)


def _attributes(root: _Module) -> Iterator[tuple[str, object]]:
    pending: list[tuple[str, _Module, int]] = [("", root, 1)]
    modules = 0
    while pending:
        path, module, depth = pending.pop()
        modules += 1
        if depth > _DEEPEST or modules > _MOST_MODULES:
            raise ValueError("TorchScript with too many modules")
        for name, value in module.attributes.items():
            if isinstance(value, (torch.Tensor, int, list, tuple, dict)):
                yield f"{path}{name}", value
            elif isinstance(value, _Module):
                pending.append((f"{path}{name}.", value, depth + 1))

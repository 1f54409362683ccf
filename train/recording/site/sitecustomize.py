"""Lets a user's own script import smdebug: `import smdebug.pytorch as smd`.

Python imports this module at its start from the image's PYTHONPATH. It imports nothing until a
script imports smdebug, and then only what mends it. It imports nothing of Kennel by name, because
a user's script is often called `train.py`.
"""

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

_REPAIR = Path(__file__).parents[1] / "smdebug_repair.py"
_PROTOBUF = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"


class Finder:
    """Sees the imports of smdebug before Python's own finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Prepare the import of smdebug, and repair it after the import of smdebug.pytorch."""
        if name == "smdebug":
            _choose_protobuf()
        if name != "smdebug.pytorch":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        spec = importlib.util.spec_from_file_location("kennel_smdebug_repair", _REPAIR)
        assert spec
        assert spec.loader
        repair = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(repair)
        repair.repair()


def _choose_protobuf() -> None:
    """Choose the implementation of protobuf that takes smdebug's generated code.

    Raises:
        ImportError: another one is already in use.
    """
    os.environ.setdefault(_PROTOBUF, "python")
    used = sys.modules.get("google.protobuf.internal.api_implementation")
    if used and used.Type() != "python":
        raise ImportError(
            "smdebug was imported after another package had loaded protobuf, for example "
            f"tensorboard: import smdebug first, or set the environment variable {_PROTOBUF}=python"
        )


sys.meta_path.insert(0, Finder())

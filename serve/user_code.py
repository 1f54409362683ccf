"""The module that KENNEL_CODE names: found, checked and imported.

The folder of the module goes on the import path, so that its sibling modules import. A sibling with
the name of one of our packages is refused: only one of the two could be imported. This module
imports no torch, since the supervisor checks too.
"""

import importlib
import importlib.util
import sys
from importlib.machinery import all_suffixes
from pathlib import Path
from types import ModuleType

import serve

FUNCTIONS = ("model_fn", "input_fn", "predict_fn", "output_fn")
# Our packages that a worker imports: all that the image has of ours.
ROOMS = ("classifier", "pictures", "serve")
_ROOT = Path(serve.__file__).resolve().parents[1]


class CodeError(ValueError):
    """User code that cannot be used; the message says how to fix it."""


def check(name: str, model_dir: Path) -> Path:
    """Check what can be checked without running any of the code.

    Args:
        name: of a module on the path, or a .py file.
        model_dir: the bundle; nothing in it is ever imported.

    Returns:
        The folder that must be on the import path.

    Raises:
        CodeError: not found, in the bundle, or next to a module with the name of one of ours.
    """
    place = Path(name) if _is_file(name) else _top_level(name)
    if place is None or not place.exists():
        raise _missing(name)
    bundle = model_dir.resolve()
    _refuse_bundle(name, place, bundle)
    folder = place.resolve().parent
    for path in sorted(folder.iterdir()):
        if path.resolve() == bundle and any(path.glob("__init__.*")):
            raise CodeError(
                f"KENNEL_CODE={name}: the bundle {path} could be imported from there: "
                "move the code to a folder of its own"
            )
        if room := _collides_with(path):
            raise CodeError(
                f"KENNEL_CODE={name}: {path} has the name of Kennel's package {room}: rename it"
            )
    return folder


def load(name: str, model_dir: Path) -> ModuleType:
    """Check and import the user's module.

    Raises:
        CodeError: as `check`, or the module has none of the functions.
    """
    folder = str(check(name, model_dir))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if _is_file(name):
        # By its path: an installed module may have the same name.
        spec = importlib.util.spec_from_file_location(Path(name).stem, name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(spec.name, module)  # dataclasses look for their module there
        spec.loader.exec_module(module)
    else:
        spec = _find(name)
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            raise _missing(name)
        _refuse_bundle(name, Path(spec.origin), model_dir)
        module = importlib.import_module(name)
    if not any(hasattr(module, function) for function in FUNCTIONS):
        raise CodeError(f"KENNEL_CODE={name} has none of {', '.join(FUNCTIONS)}")
    return module


def _is_file(name: str) -> bool:
    return name.endswith(".py")


def _find(name: str) -> "importlib.machinery.ModuleSpec | None":
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _top_level(name: str) -> Path | None:
    """Return the file or folder of the first part of a dotted name, without importing it."""
    spec = _find(name.partition(".")[0])
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    place = folders[0] if folders else spec.origin
    return Path(place) if place else None


def _refuse_bundle(name: str, place: Path, bundle: Path) -> None:
    if place.resolve().is_relative_to(bundle.resolve()):
        raise CodeError(f"KENNEL_CODE={name} is in the bundle: a bundle carries no code")


def _missing(name: str) -> CodeError:
    return CodeError(f"KENNEL_CODE={name}: there is no such module in the image: COPY it there")


def _collides_with(path: Path) -> str | None:
    """Return the name of our package that `path` could be imported as, None if there is none."""
    room, _, _ = path.name.partition(".")
    if room not in ROOMS or path.resolve() == _ROOT / room:
        return None
    if path.is_dir():
        return room if path.name == room and any(path.glob("*.py")) else None
    return room if path.name.removeprefix(room) in all_suffixes() else None

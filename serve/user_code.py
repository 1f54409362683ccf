"""The module that KENNEL_CODE names: found, checked and imported.

The folder of the module goes on the import path, so that its sibling modules import. A sibling with
the name of one of our packages is refused: only one of the two could be imported. `bundle` is the
code that the bundle carries, which runs only then. This module imports no torch, since the
supervisor checks too.
"""

import contextlib
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import all_suffixes
from pathlib import Path
from types import ModuleType

import serve

# The functions of a module, and how many arguments each gets.
ARGUMENTS = {
    "pre_model_fn": 1,
    "model_fn": 1,
    "model_warmup_fn": 2,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
}
_AROUND = ("pre_model_fn", "model_warmup_fn")  # a module needs one of the others
BUNDLE = "bundle"  # of KENNEL_CODE: run the code that the bundle carries
_FOLDER, _PROGRAM, _REQUIREMENTS = "code", "inference.py", "requirements.txt"
PROGRAM_VARIABLE = "SAGEMAKER_PROGRAM"
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,100})")
_MOST_REQUIREMENTS = 1000  # lines
# Our packages that a worker imports: all that the image has of ours.
ROOMS = ("classifier", "pictures", "serve")
_ROOT = Path(serve.__file__).resolve().parents[1]


class CodeError(ValueError):
    """User code that cannot be used; the message says how to fix it."""


def check(name: str, model_dir: Path) -> Path:
    """Check what can be checked without running any of the code.

    Args:
        name: of a module on the path, a .py file, or `bundle`.
        model_dir: the bundle; nothing in it is imported unless `name` is `bundle`.

    Returns:
        The folder that must be on the import path.

    Raises:
        CodeError: not found, in the bundle, or next to a module with the name of one of ours.
    """
    bundle = model_dir.resolve()
    if name == BUNDLE:
        return _check_siblings(name, program(model_dir), bundle)
    place = Path(name) if _is_file(name) else _top_level(name)
    if place is None or not place.exists():
        raise _missing(name)
    _refuse_bundle(name, place, bundle)
    return _check_siblings(name, place, bundle)


def _check_siblings(name: str, place: Path, bundle: Path) -> Path:
    """Return the folder of the module; refuse what must not be next to it."""
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


def program(model_dir: Path) -> Path:
    """Return the file that a bundle carries: code/inference.py, or what SAGEMAKER_PROGRAM names.

    Raises:
        CodeError: there is none, or it is not in the bundle's folder `code`.
    """
    named = os.environ.get(PROGRAM_VARIABLE, "").strip() or _PROGRAM
    folder = model_dir / _FOLDER
    place = folder / named
    if not named.endswith(".py") or not place.resolve().is_relative_to(folder.resolve()):
        raise CodeError(
            f"{PROGRAM_VARIABLE}={named!r} is not a .py file in {folder}: name one that is"
        )
    if not place.is_file():
        raise CodeError(
            f"KENNEL_CODE={BUNDLE}: the bundle has no {_FOLDER}/{named}: put it there, "
            f"or unset KENNEL_CODE"
        )
    return place


def notices(name: str | None, model_dir: Path) -> Iterator[str]:
    """Yield what happens with the code that a bundle carries, a line each, for the log.

    Args:
        name: KENNEL_CODE, or None.
        model_dir: the bundle.
    """
    named = os.environ.get(PROGRAM_VARIABLE, "").strip()
    wanted = f"{_FOLDER}/{named or _PROGRAM}"
    if name == BUNDLE:
        yield f"KENNEL_CODE={BUNDLE}: {wanted!r} of the bundle runs in the workers"
    elif (model_dir / wanted).is_file():
        yield f"the bundle's {wanted!r} is not run: to run it, set KENNEL_CODE={BUNDLE}"
    elif named:
        yield f"{PROGRAM_VARIABLE}={named!r} is ignored: the bundle has no such file in {_FOLDER}/"
    requirements = model_dir / _FOLDER / _REQUIREMENTS
    if requirements.is_file():
        missing = ", ".join(_not_installed(requirements)) or "none"
        yield (
            f"the bundle's {_FOLDER}/{_REQUIREMENTS} is not installed, since nothing is installed "
            f"at the start; packages that this image lacks: {missing}. "
            "Install them in an image built from this one"
        )


def _not_installed(requirements: Path) -> list[str]:
    """Return the packages of a requirements file that this image has in no version."""
    with requirements.open(encoding="utf-8", errors="replace") as file:
        lines = [line for line, _ in zip(file, range(_MOST_REQUIREMENTS), strict=False)]
    found = filter(None, map(_REQUIREMENT.match, lines))
    names = dict.fromkeys(match[1] for match in found)
    return [name for name in names if not _is_installed(name)][:20]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def load(name: str, model_dir: Path) -> ModuleType:
    """Check and import the user's module.

    Raises:
        CodeError: as `check`, or the module has none of the functions.
    """
    folder = str(check(name, model_dir))
    if name == BUNDLE:
        sys.dont_write_bytecode = True  # nothing is written to the bundle
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if _is_file(name) or name == BUNDLE:
        # By its path: an installed module may have the same name.
        place = program(model_dir) if name == BUNDLE else Path(name)
        spec = importlib.util.spec_from_file_location(place.stem, place)
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
    needed = [function for function in ARGUMENTS if function not in _AROUND]
    if not any(hasattr(module, function) for function in needed):
        raise CodeError(f"KENNEL_CODE={name} has none of {', '.join(needed)}")
    return module


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Explain why the user's code does not load, where the error alone does not say what to do.

    Raises:
        CodeError: with what to do.
    """
    try:
        yield
    except SystemExit as error:
        raise CodeError(
            f"KENNEL_CODE={name} calls sys.exit({error.code!r}) when it is loaded: "
            "keep what a program does under if __name__ == '__main__'"
        ) from error
    except ModuleNotFoundError as error:
        cure = "put it next to the module, or install it in an image built from this one"
        if (error.name or "").partition(".")[0] in ("torch", "torchvision"):
            cure = "serve it with the image kennel-serve, or write it with numpy"
        raise CodeError(
            f"KENNEL_CODE={name} imports {error.name}, which this image does not have: {cure}"
        ) from error
    except ImportError as error:
        if "relative import" not in str(error):
            raise
        raise CodeError(
            f"KENNEL_CODE={name}: {error}: the folder of the module is on the import path and no "
            "package; write `from labels import NAMES`, not `from .labels import NAMES`"
        ) from error
    except urllib.error.URLError as error:
        raise CodeError(
            f"KENNEL_CODE={name} downloads something when it is loaded, and that failed ({error}): "
            "put it into the bundle or the image; a network that gets its weights from the bundle "
            "needs no others (weights=None)"
        ) from error
    except subprocess.CalledProcessError as error:
        raise CodeError(
            f"KENNEL_CODE={name} runs a command when it is loaded, and that failed ({error}): "
            "install packages in an image built from this one"
        ) from error
    except Exception:
        raise
    except BaseException as error:  # of libraries in Rust that panic
        raise CodeError(f"KENNEL_CODE={name} raises {error!r:.300} when it is loaded") from error


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
        raise CodeError(
            f"KENNEL_CODE={name} is in the bundle, whose code does not run: "
            f"to run {_FOLDER}/{_PROGRAM} of every bundle, set KENNEL_CODE={BUNDLE}"
        )


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

"""The process that `kennel export` starts: `python -m classifier.exporting.command`.

The command itself imports no torch.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from classifier import bundle, ending, importing
from classifier.description import (
    DESCRIPTION,
    PACKED,
    BundleError,
    check_name,
    describe,
)
from classifier.exporting import sample, writing
from classifier.exporting.network import ExportError
from pictures import archive
from pictures.picture import DataError, Picture


def main() -> int:
    """Export and print what was done; return the exit code."""
    ending.on_signals()
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    try:
        export(given.bundle, given.out, given.photos)
    except ExportError as error:
        print(f"kennel: the network cannot be exported: {error}", file=sys.stderr)
        return 1
    except (ValueError, DataError, OSError) as error:
        print(f"kennel: {error}", file=sys.stderr)
        return 1
    return 0


def export(source: Path, out: Path | None, photos: Path | None) -> None:
    """Export a bundle, a folder or an archive, in its place or as `out`.

    Raises:
        ExportError, BundleError, ArchiveError, DataError, OSError: with what to change.
    """
    if out is not None and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise ValueError(f"{out} exists already: remove it, or give another name")
    if not source.exists():
        raise ValueError(f"no bundle at {source}")
    if out is not None:
        check_name(out)
    target = out or source
    in_place = source.is_dir() and target == source
    place = source if in_place else target.absolute().parent
    _check_writable(place)
    with _alone(source if out is None else None), tempfile.TemporaryDirectory() as scratch:
        folder = source if in_place else Path(scratch) / "bundle"
        if source.is_file():
            archive.unpack(source, folder)
        elif not in_place:
            shutil.copytree(source, folder)
        try:
            _export_folder(folder, photos)
        except BundleError as error:
            raise BundleError(str(error).replace(str(folder), str(source))) from error
        if target.name.endswith(PACKED) or target.is_file():
            bundle.pack(folder, target.resolve())  # a link stays one
        elif not in_place:
            _copy(folder, target)
    print(f"{target}: exported")


def _check_writable(place: Path) -> None:
    """Raise OSError, before any work, if nothing can be written into a folder."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise OSError(
            f"{place} cannot be written ({error.strerror}): give another place with --out"
        ) from error


@contextlib.contextmanager
def _alone(changed: Path | None) -> Iterator[None]:
    """Keep other exports from changing the same bundle; one that is not changed needs nothing.

    Raises:
        ValueError: there is another one.
    """
    if changed is None:
        yield
        return
    with contextlib.ExitStack() as opened:
        descriptor = os.open(changed, os.O_RDONLY)
        opened.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{changed} is being exported by another process: wait until it has ended"
            ) from None
        except OSError:  # some file systems on networks have no locks
            pass
        yield


def _export_folder(folder: Path, photos: Path | None) -> None:
    calibration: list[Picture] = []
    validation: list[Picture] = []
    if not (folder / DESCRIPTION).is_file():
        inside = [str(path.relative_to(folder)) for path in folder.rglob(DESCRIPTION)]
        if inside:
            raise BundleError(f"the bundle is not at the root of the archive, but at {inside[0]}")
    if photos:
        listed = importing.listed(photos, describe(folder).folders)
        if any(one.label < 0 for one in listed):
            raise DataError(
                f"the photos in {photos} are not in class folders: without their classes the "
                "network in 8 bits cannot be compared with float32"
            )
        calibration, validation = sample.of_one_folder(listed)
    writing.export(folder, calibration, validation, int8=photos is not None, say=print)
    if photos is None:
        print("no model.int8.onnx: that needs --photos, in class folders")


def _copy(folder: Path, target: Path) -> None:
    """Copy a folder as a whole, or not at all."""
    try:
        shutil.copytree(folder, target, dirs_exist_ok=True)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        reasons = error.args[0] if isinstance(error, shutil.Error) else error
        why = reasons[0][-1] if isinstance(reasons, list) else str(reasons)
        raise OSError(f"{target} cannot be written: {why}") from error


if __name__ == "__main__":
    sys.exit(main())

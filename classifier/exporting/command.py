"""The process that `kennel export` starts: `python -m classifier.exporting.command`.

The command itself imports no torch.
"""

import argparse
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from classifier import importing
from classifier.description import DESCRIPTION, FILES, BundleError, describe
from classifier.exporting import sample, writing
from classifier.exporting.network import ExportError
from pictures import archive
from pictures.picture import DataError, Picture

_PACKED = (".tar.gz", ".tgz")


def main() -> int:
    """Export and print what was done; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    try:
        _export(given.bundle, given.out, given.photos)
    except ExportError as error:
        print(f"kennel: the network cannot be exported: {error}", file=sys.stderr)
        return 1
    except (ValueError, DataError, OSError) as error:
        print(f"kennel: {error}", file=sys.stderr)
        return 1
    return 0


def _export(source: Path, out: Path | None, photos: Path | None) -> None:
    """Export a bundle, a folder or an archive, in its place or as `out`.

    Raises:
        ExportError, BundleError, ArchiveError, DataError, OSError: with what to change.
    """
    if out is not None and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise ValueError(f"{out} exists already: remove it, or give another name")
    if not source.exists():
        raise ValueError(f"no bundle at {source}")
    target = out or source
    in_place = source.is_dir() and target == source
    with tempfile.TemporaryDirectory() as scratch:
        folder = source if in_place else Path(scratch) / "bundle"
        if source.is_file():
            archive.unpack(source, folder)
        elif not in_place:
            shutil.copytree(source, folder)
        _export_folder(folder, photos)
        if target.name.endswith(_PACKED) or target.is_file():
            _pack(folder, target)
        elif not in_place:
            shutil.copytree(folder, target, dirs_exist_ok=True)
    print(f"{target}: exported")


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


def _pack(folder: Path, target: Path) -> None:
    """Write an archive with the files of the bundle first, and whatever else the folder has."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    first = [name for name in FILES if name in found]
    try:
        with tarfile.open(partial, "w:gz", compresslevel=1) as packed:
            for name in (*first, *sorted(found - {*first})):
                packed.add(folder / name, name)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())

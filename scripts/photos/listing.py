"""The pictures that a user names on the command line: files, and all pictures below folders."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.problem import Problem

# What the endpoint reads. Source: pictures/decoder.py.
_SUFFIXES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".jfif": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".gif": "image/gif",
}


def content_type(photo: Path) -> str:
    """Return the content type by the name's end; the server looks at the bytes of other files."""
    return _SUFFIXES.get(photo.suffix.lower(), "application/x-image")


def pictures(paths: Sequence[Path], most_files: int | None = None) -> list[Path]:
    """Return the files, and the pictures below the folders in the order of their names.

    Raises:
        Problem: a path does not exist, or a folder has no pictures or more than `most_files` files.
    """
    found: list[Path] = []
    for path in paths:
        if str(path).startswith(("http:/", "https:/", "s3:/")):
            raise Problem(f"{path}: download it first; predict takes files and folders")
        if path.is_dir():
            below = sorted(
                file
                for file in _below(path, most_files)
                if file.suffix.lower() in _SUFFIXES
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
                and file.is_file()
            )
            if not below:
                raise Problem(f"{path}: no pictures in this folder ({' '.join(_SUFFIXES)})")
            found += below
        elif path.is_file():
            found.append(path)
        else:
            raise Problem(f"{path}: no such file")
    return list(dict.fromkeys(found))


def _below(folder: Path, most: int | None) -> Iterator[Path]:
    for number, file in enumerate(folder.rglob("*")):
        if number == most:
            raise Problem(
                f"{folder}: more than {most:,} files and folders: give one of its folders"
            )
        yield file

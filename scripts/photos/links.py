"""Files of a folder that leave the machine, and the symbolic links that could take others along."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(root: Path, *, follow: bool) -> list[Path]:
    """Return the files below a folder, sorted.

    Args:
        root: the folder.
        follow: also through links to folders, and links to files elsewhere.
    """
    real = root.resolve()
    return sorted(
        path
        for path in _walk(root, (real,), follow=follow)
        if path.is_file() and (follow or not leads_out(path, real))
    )


def not_followed(root: Path) -> tuple[str, ...]:
    """Return the links that `files_below` does not follow by default, as paths below `root`."""
    real = root.resolve()
    return tuple(
        name for name in _links(root) if (root / name).is_dir() or leads_out(root / name, real)
    )


def leading_out(root: Path) -> tuple[str, ...]:
    """Return the links that lead out of a folder, as paths below `root`."""
    real = root.resolve()
    return tuple(name for name in _links(root) if leads_out(root / name, real))


def leads_out(path: Path, root: Path) -> bool:
    """Whether a file is not in the resolved folder `root`, but a link leads to it."""
    return not Path(os.path.realpath(path)).is_relative_to(root)  # a link to itself has no end


def _links(root: Path) -> list[str]:
    found = _walk(root, (root.resolve(),), follow=False)
    return sorted(path.relative_to(root).as_posix() for path in found if path.is_symlink())


def _walk(folder: Path, above: tuple[Path, ...], *, follow: bool) -> Iterator[Path]:
    """Yield files, and the links to folders that are not followed; `above` ends in `folder`."""
    for path in folder.iterdir():
        if not path.is_dir() or (path.is_symlink() and not follow):
            yield path
        elif (real := path.resolve()) not in above:  # a link to a folder above would never end
            yield from _walk(path, (*above, real), follow=follow)

"""A cache in build/ for things that take minutes to make."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

BUILD = Path(__file__).parents[1] / "build"


def make_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder build/`name`; if it is missing, one process makes it and the others wait.

    Args:
        name: contains a digest of everything that the contents depend on.
        make: fills the folder with this path, which does not exist yet.
    """
    cached, new = BUILD / name, BUILD / f"{name}-new"
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cached.is_dir():
            shutil.rmtree(new, ignore_errors=True)  # an earlier attempt that failed
            make(new)
            new.rename(cached)
    return cached

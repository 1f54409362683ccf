"""What takes minutes to make: made once, and kept in build/."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

BUILD = Path(__file__).parents[1] / "build"


def once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder build/`name`; where there is none, one process makes it, the others wait.

    Args:
        name: with a digest of all that the contents depend on.
        make: makes the folder it is given; one that was left unfinished is gone by then.
    """
    kept, new = BUILD / name, BUILD / f"{name}-new"
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_dir():
            shutil.rmtree(new, ignore_errors=True)
            make(new)
            new.rename(kept)
    return kept

"""Nothing that handles a request runs as root: the parts get a user that owns nothing."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

NOBODY = 65534
_PROBE = "import os, sys; sys.exit(not all(os.access(path, os.R_OK) for path in sys.argv[1:]))"


def user_for_parts(needed: Sequence[Path]) -> int | None:
    """Return the user to run the parts as, or None to run them as who we are.

    That is so where we are not root, where the kernel forbids the change, and where another user
    could not read what the parts need.

    Args:
        needed: files that the parts read.
    """
    if os.geteuid() != 0:
        return None
    command = [sys.executable, "-I", "-S", "-c", _PROBE, *map(str, needed)]
    try:
        done = subprocess.run(
            command, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", check=False
        )
    except (PermissionError, subprocess.SubprocessError):
        return None
    return NOBODY if done.returncode == 0 else None


def give(directory: Path, user: int | None) -> None:
    """Make `user` the owner of a directory and of what is in it."""
    if user is None:
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, user, user)

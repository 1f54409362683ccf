"""No process that handles a request runs as root: they run as a user that owns nothing."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

NOBODY = 65534
_PROBE = "import os, sys; sys.exit(not all(os.access(path, os.R_OK) for path in sys.argv[1:]))"


def unprivileged_user(needed: Sequence[Path]) -> int | None:
    """Return the user for the server's processes; None to keep our own.

    None if we are not root, if the kernel forbids the change, or if another user cannot read what
    the processes need.

    Args:
        needed: files that the processes read.
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


def change_owner(directory: Path, user: int | None) -> None:
    """Make `user` the owner of a directory and its contents; None changes nothing."""
    if user is None:
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, user, user)

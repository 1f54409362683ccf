"""No process that handles a request runs as root: they run as a user that owns nothing."""

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pictures.text import printable

log = logging.getLogger("kennel")

NOBODY = 65534
# Prints what it cannot read.
_PROBE = """
import os, sys
for path in sys.argv[1:]:
    if not os.access(path, os.R_OK):
        sys.exit(path)
"""


def unprivileged_user(needed: Sequence[Path]) -> int | None:
    """Return the user for the server's processes; None to keep our own.

    None if we are not root, if the kernel forbids the change, or if another user cannot read what
    the processes need. A server that stays root says so in the log, and why.

    Args:
        needed: files that the processes read.
    """
    if os.geteuid() != 0:
        return None
    command = [sys.executable, "-I", "-S", "-c", _PROBE, *map(str, needed)]
    try:
        done = subprocess.run(
            command,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except (PermissionError, subprocess.SubprocessError) as error:
        if getattr(error, "errno", None) == errno.EACCES:  # of exec; setuid fails with EPERM
            _stay_root(f"user {NOBODY} cannot run {sys.executable}")
        else:
            _stay_root("the kernel forbids to change the user (no CAP_SETUID or CAP_SETGID)")
        return None
    if done.returncode != 0:
        where = printable(done.stderr.strip()[-300:]) or str(sys.executable)
        _stay_root(f"user {NOBODY} cannot read {where}: make it readable for all")
        return None
    return NOBODY


def stay_root_for_many_models() -> None:
    """Say that a server of many models remains root, if it is."""
    if os.geteuid() == 0:
        _stay_root("with SAGEMAKER_MULTI_MODEL nobody knows who can read the bundles to come")


def _stay_root(reason: str) -> None:
    log.warning("nginx, Java and the workers run as root: %s", reason)


def change_owner(directory: Path, user: int | None) -> None:
    """Make `user` the owner of a directory and its contents; None changes nothing."""
    if user is None:
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, user, user)

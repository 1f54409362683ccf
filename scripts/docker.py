"""The Docker client of this machine. Standard library only, for `make local-train`."""

import os
import shutil
import subprocess
from pathlib import Path

from scripts.problem import Problem

_FIND = Path(__file__).parents[1] / "docker" / "client.sh"


def client() -> str:
    """Return the path of the first docker on PATH that reaches an engine.

    Raises:
        Problem: there is none; docker/client.sh says why.
    """
    found = subprocess.run(["sh", _FIND], capture_output=True, text=True, check=False)
    if found.returncode:
        raise Problem(found.stderr.strip())
    return found.stdout.strip()


def user_options() -> list[str]:
    """Return options to run as the caller, so that a container's outputs belong to the caller.

    Rootless Docker does that by itself: its root is the caller.
    """
    info = [client(), "info", "--format", "{{.SecurityOptions}}"]
    found = subprocess.run(info, capture_output=True, text=True, check=False).stdout
    if os.getuid() == 0 or "rootless" in found:
        return []
    return as_user(os.getuid(), os.getgid())


def as_user(user: int, group: int) -> list[str]:
    """Return options to train as another user than root.

    Such a user has no home folder in the image, so caches are in /tmp. `/opt/ml` belongs to root,
    and SageMaker's toolkit writes a user's own script to `/opt/ml/code`.
    """
    code = "/opt/ml/code:exec,mode=1777"
    return ["--user", f"{user}:{group}", "--env", "HOME=/tmp", "--tmpfs", code]


def gpu_options() -> list[str]:
    """Return `--gpus all` where the NVIDIA driver answers, else nothing."""
    smi = shutil.which("nvidia-smi")
    found = smi and subprocess.run([smi, "-L"], capture_output=True, check=False).returncode == 0
    return ["--gpus", "all"] if found else []

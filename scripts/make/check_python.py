"""Checks before .venv is created what would fail later; must run on any Python version."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

# Minor version -> the first release whose tarfile filters hold.
FIXED_TARFILE = {(3, 11): 13, (3, 12): 11, (3, 13): 4}
DEVELOPMENT_FILES = "on Debian or Ubuntu: apt-get install gcc libc6-dev python3-dev"


def problems() -> "list[str]":
    """Return what is missing on this machine, each with what to do."""
    found = []
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found.append(
            f"Kennel needs Python 3.11 to 3.13, but {sys.executable} is "
            f"{sys.version.split()[0]}: use another, such as `make PYTHON=python3.12 venv`"
        )
    # sagemaker-training has a C extension and no wheels.
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if not (shutil.which(os.environ.get("CC", compiler)) or shutil.which("cc")):
        found.append(f"no C compiler; sagemaker-training needs one; {DEVELOPMENT_FILES}")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        found.append(f"no Python.h; sagemaker-training needs it; {DEVELOPMENT_FILES}")
    return found


def warnings(version: "tuple[int, int, int]") -> "list[str]":
    """Return what is wrong with a version of Python, but lets Kennel work."""
    fixed = FIXED_TARFILE.get(version[:2])
    if fixed is None or version[2] >= fixed:
        return []
    name, minor = ".".join(map(str, version)), ".".join(map(str, version[:2]))
    return [
        f"an archive can get past the filters of tarfile in Python {name} (CVE-2025-4517): use "
        f"{minor}.{fixed} or later. Kennel does not use these filters, but libraries may"
    ]


if __name__ == "__main__":
    for warning in warnings(sys.version_info[:3]):
        print(f"warning: {warning}", file=sys.stderr)
    sys.exit("\n".join(problems()) or None)

"""Environments for SageMaker's Python SDKs, each created once from a hashed lock file."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build_cache import make_once

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "sdk_clients"  # on a client's path, its pauses are short
# uv's messages on a machine without a network.
_NO_INDEX = ("error sending request", "dns error", "Could not connect", "Network connectivity")


def interpreter(lock: str) -> str:
    """The Python of an environment with the packages of docker/locks/`lock`; cached in build/."""
    names = ROOT / "docker" / "locks" / lock
    digest = hashlib.sha256(names.read_bytes() + sys.version.encode()).hexdigest()[:16]
    cached = make_once(f"{names.stem}-{digest}", lambda folder: _make(folder, names))
    return str(cached / "bin" / "python")


def _make(folder: Path, names: Path) -> None:
    uv = shutil.which("uv") or shutil.which(ROOT / ".uv" / "bin" / "uv")
    if uv is None:
        pytest.skip("needs uv to make an environment for the SDK: `make venv` installs it")
    sync = ["pip", "sync", "--require-hashes", "--python", str(folder), str(names)]
    for arguments in (["venv", "--clear", "--python", sys.executable, str(folder)], sync):
        for _ in range(3):  # one of a hundred downloads can fail
            done = subprocess.run([uv, *arguments], capture_output=True, text=True, check=False)
            if not done.returncode:
                break
        if done.returncode and any(text in done.stderr for text in _NO_INDEX):
            shutil.rmtree(folder)
            pytest.skip(f"cannot reach a package index: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr

"""SageMaker's own Python SDKs, each in an environment of its own, made once from a hashed lock."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kept import once

ROOT = Path(__file__).parents[2]
# What uv says where no package index can be reached: a machine without a network.
_NO_INDEX = ("error sending request", "dns error", "Could not connect", "Network connectivity")


def interpreter(lock: str) -> str:
    """The Python of an environment with what docker/locks/`lock` names; kept in build/."""
    names = ROOT / "docker" / "locks" / lock
    digest = hashlib.sha256(names.read_bytes() + sys.version.encode()).hexdigest()[:16]
    kept = once(f"{names.stem}-{digest}", lambda folder: _make(folder, names))
    return str(kept / "bin" / "python")


def _make(folder: Path, names: Path) -> None:
    uv = shutil.which("uv") or shutil.which(ROOT / ".uv" / "bin" / "uv")
    if uv is None:
        pytest.skip("needs uv to make an environment for the SDK: `make venv` installs it")
    sync = ["pip", "sync", "--require-hashes", "--python", str(folder), str(names)]
    for words in (["venv", "--clear", "--python", sys.executable, str(folder)], sync):
        for _ in range(3):  # a hundred downloads may well meet an index that is busy once
            done = subprocess.run([uv, *words], capture_output=True, text=True, check=False)
            if not done.returncode:
                break
        if done.returncode and any(said in done.stderr for said in _NO_INDEX):
            shutil.rmtree(folder)
            pytest.skip(f"no package index within reach: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr

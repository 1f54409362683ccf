"""A server that stays root says so, and why."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve.front import privileges
from tests.serve.running import ROOT, serving

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def python_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe with a Python that every user can run; the one of the tests can be root's own."""
    if not Path("/usr/bin/python3").exists():
        pytest.skip("needs /usr/bin/python3")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")


@as_root
def test_what_another_user_cannot_read_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, python_for_all: None
) -> None:
    secret = tmp_path / "weights\n[forged]"
    secret.touch(mode=0o600)
    with caplog.at_level(logging.WARNING):
        assert privileges.unprivileged_user([Path("/"), secret]) is None
    (record,) = caplog.records
    assert "run as root: user 65534 cannot read" in record.getMessage()
    assert "\n" not in record.getMessage()


@as_root
def test_nothing_is_said_where_root_is_given_up(
    caplog: pytest.LogCaptureFixture, python_for_all: None
) -> None:
    assert privileges.unprivileged_user([Path("/")]) == privileges.NOBODY
    assert not caplog.records


@as_root
def test_a_python_that_another_user_cannot_run_is_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    python = tmp_path / "python"
    python.touch(mode=0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    assert privileges.unprivileged_user([]) is None
    assert "cannot run" in caplog.records[0].getMessage()


@as_root
@pytest.mark.slow
def test_a_kernel_that_forbids_it_is_the_reason() -> None:
    """In a process that has dropped CAP_SETUID and CAP_SETGID."""
    script = (
        "import ctypes, logging\n"
        "libc = ctypes.CDLL(None)\n"
        "for capability in (6, 7): libc.prctl(24, capability, 0, 0, 0)\n"  # PR_CAPBSET_DROP
        "import os, sys\n"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])\n"
    )
    inner = (
        "import logging; from pathlib import Path; from serve.front import privileges\n"
        "logging.basicConfig(); print(privileges.unprivileged_user([Path('/')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, inner], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None"
    assert "run as root: the kernel forbids" in done.stderr


@as_root
@pytest.mark.slow
def test_a_server_of_many_models_says_that_it_stays_root(tmp_path: Path, nginx: None) -> None:
    with serving(tmp_path, SAGEMAKER_MULTI_MODEL="true") as server:
        server.wait_for_ping(200)
        assert "run as root: with SAGEMAKER_MULTI_MODEL" in server.log


@pytest.mark.slow
def test_a_missing_bundle_is_reported_before_java_starts(tmp_path: Path, nginx: None) -> None:
    with serving(tmp_path) as server:
        assert server.wait_for_end() == 1
        assert "kennel.json is missing" in server.log.splitlines()[-1]
        assert "model server" not in server.log

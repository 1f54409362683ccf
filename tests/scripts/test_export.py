"""`kennel export`, as a user runs, ends and repeats it."""

import fcntl
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import psutil
import pytest
import torch

from classifier import bundle, importing, networks
from classifier.description import ONNX, describe
from classifier.exporting import command
from classifier.transform import EvaluationTransform

SOON = 120.0  # seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle without exports."""
    torch.manual_seed(0)
    weights, out = tmp_path / "w.pth", tmp_path / "bundle"
    torch.save(networks.build("shufflenet_v2_x0_5", 2).state_dict(), weights)
    transform = EvaluationTransform(resize=64, crop=64)
    bundle.save(importing.make(weights, "shufflenet_v2_x0_5", ("a", "b"), transform), out)
    return out


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    bundle.pack(folder, tmp_path / "model.tar.gz")
    return tmp_path / "model.tar.gz"


def started(archive: Path, scratch: Path) -> subprocess.Popen[str]:
    """Start an export, and wait until it has unpacked the archive."""
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.cli", "export", str(archive)],
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The tests can run under nohup, where a program ignores SIGHUP.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    until = time.monotonic() + SOON
    while not list(scratch.glob("*/bundle/kennel.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_export_that_is_asked_to_end_does_so_and_cleans_up(
    number: signal.Signals, packed: Path, tmp_path: Path
) -> None:
    before = packed.read_bytes()
    process = started(packed, tmp_path / "scratch")
    (worker,) = psutil.Process(process.pid).children()
    process.send_signal(number)
    out, errors = process.communicate(timeout=SOON)
    assert (process.returncode, out, errors) == (128 + number, "", "")
    assert not worker.is_running()
    assert packed.read_bytes() == before
    assert list((tmp_path / "scratch").glob("tmp*")) == []


@pytest.mark.slow
def test_a_process_that_is_killed_is_said(packed: Path, tmp_path: Path) -> None:
    process = started(packed, tmp_path / "scratch")
    (worker,) = psutil.Process(process.pid).children()
    worker.kill()
    _, errors = process.communicate(timeout=SOON)
    assert process.returncode == 1
    assert "ended by signal 9, as the system does when the memory is full" in errors


def test_two_exports_of_one_bundle_are_not_at_once(folder: Path, packed: Path) -> None:
    for one in (folder, packed):
        descriptor = os.open(one, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="is being exported by another process: wait"):
            command.export(one, None, None)
        os.close(descriptor)
    assert describe(folder).export is None


@pytest.mark.slow
def test_a_link_to_an_archive_stays_one(packed: Path, tmp_path: Path) -> None:
    link = tmp_path / "newest.tar.gz"
    link.symlink_to(packed)
    command.export(link, None, None)
    assert link.is_symlink()
    with tarfile.open(packed) as archive:
        assert ONNX in archive.getnames()


def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/below cannot be written .*another place with --out"):
        command.export(folder, tmp_path / "file" / "below" / "model.tar.gz", None)
    assert describe(folder).export is None

"""Ctrl-C during an upload: what was sent stays, and the next upload sends the rest."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from tests.scripts.kennel import kennel

pytestmark = pytest.mark.slow
FILES = 3000


def test_the_next_upload_sends_the_rest(moto: str, tmp_path: Path) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="interrupted")
    for number in range(FILES):
        folder = tmp_path / f"class{number % 10}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(b"%d" % number)
    upload = ("data", "upload", str(tmp_path), "s3://interrupted/photos")
    words = [sys.executable, "-m", "scripts.cli", *upload]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while not s3.list_objects_v2(Bucket="interrupted").get("Contents"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130, printed
    assert "stopped: what was sent stays, and the same command sends the rest" in printed
    assert "Traceback" not in printed
    again = kennel(*upload)
    found = re.search(r"(\d+) files are up to date, (\d+) to upload", again.err)
    assert found
    kept, sent = map(int, found.groups())
    assert 0 < kept < FILES
    assert kept + sent == FILES

"""The targets of make that run the images."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from classifier import bundle
from tests.containers.conftest import HYPERPARAMETERS, ROOT
from tests.containers.engine import Endpoint, Images
from tests.ports import free_port

pytestmark = pytest.mark.docker


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )


def test_local_train_local_serve_invoke(images: Images, few_digits: Path, tmp_path: Path) -> None:
    tag = images.train.partition(":")[2]
    settings = HYPERPARAMETERS | {"export": "onnx"}
    hyperparameters = " ".join(f"{name}={value}" for name, value in settings.items())
    out = tmp_path / "run"
    done = make(
        "local-train", f"TAG={tag}", f"DATA={few_digits}", f"OUT={out}", f"HP={hyperparameters}"
    )
    assert done.returncode == 0, done.stdout
    assert bundle.load(out / "model").description.classes == tuple("0123456789")
    picture = next((few_digits / "test" / "3").glob("*.png"))
    for serve in ("serve", "serve-cpu"):
        serve_and_invoke(picture, f"TAG={tag}", f"MODEL={out}/model", f"SERVE={serve}")


def serve_and_invoke(picture: Path, *settings: str) -> None:
    """`make local-serve`, `make invoke`, and Ctrl-C."""
    port = free_port()
    # A process group of its own: Ctrl-C in a terminal signals the whole group.
    server = subprocess.Popen(
        ["make", "--silent", "local-serve", *settings, f"PORT={port}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with server:
        try:
            endpoint = Endpoint(f"http://127.0.0.1:{port}")
            end = time.monotonic() + 240
            while endpoint.ping() != 200:
                assert server.poll() is None
                assert time.monotonic() < end
                time.sleep(0.5)
            answer = make("invoke", f"PORT={port}", f"IMAGE={picture}")
            assert answer.returncode == 0, answer.stdout
            assert json.loads(answer.stdout)["predicted_label"] in tuple("0123456789")
            refused = make("invoke", f"PORT={port}", f"IMAGE={ROOT / 'Makefile'}")
            assert refused.returncode != 0
            assert "400" in refused.stdout
        finally:
            os.killpg(server.pid, signal.SIGINT)
        server.wait(60)
    assert endpoint.ping() == 0


def test_an_image_that_was_not_built_is_named(images: Images, few_digits: Path) -> None:
    done = make("local-train", "TAG=never-built", f"DATA={few_digits}", "OUT=/nonexistent/run")
    assert done.returncode != 0
    assert "no image kennel-train:never-built" in done.stdout
    assert "make build" in done.stdout

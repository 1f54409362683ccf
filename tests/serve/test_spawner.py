"""The spawner, and what happens to workers when it dies."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serve.front import model_server, spawner
from tests.serve.conftest import picture
from tests.serve.running import ROOT, Running, serving

SCRIPT = Path(model_server.__file__).with_name("backend") / "mms" / "model_service_worker.py"


pytestmark = pytest.mark.slow


def run(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Run the script that Java runs."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_without_a_spawner_the_model_servers_own_script_runs(tmp_path: Path) -> None:
    process = run("--help", **{spawner.SOCKET_VARIABLE: str(tmp_path / "none")})
    output, _ = process.communicate(timeout=120)
    assert "--sock-name" in output


def test_the_script_runs_without_a_spawner_that_dies_during_the_request(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(120)
        process = run("--help", **{spawner.SOCKET_VARIABLE: path})
        listener.accept()[0].close()
        output, _ = process.communicate(timeout=120)
    assert "--sock-name" in output


@pytest.mark.usefixtures("nginx")
def test_workers_are_replaced_when_spawner_and_parent_are_killed_too(
    victim: Callable[[], Running],
) -> None:
    running = victim()
    parent, worker = running.parts("worker")
    running.kill(running.parts("kennel-spawner")[0])
    running.kill(parent)
    running.kill(worker)
    running.wait_for_another(worker)
    assert running.classify(picture(1)).status == 200


@pytest.mark.usefixtures("nginx")
def test_no_request_is_lost_when_the_launcher_is_killed(
    trained: Path, logits: Callable[[bytes], list[float]]
) -> None:
    # A batch waits long for more requests, so these are still in the server.
    with serving(trained, KENNEL_MAX_BATCH_DELAY_MS="4000") as running:
        running.wait_for_ping(200)
        _, worker = running.parts("worker")
        with ThreadPoolExecutor(3) as clients:
            answers = [clients.submit(running.classify, picture(n)) for n in range(3)]
            running.wait_for_forwarded(3)
            running.kill(running.parts("launcher")[0])
            for n, answer in enumerate(answers):
                assert answer.result().json() == pytest.approx(logits(picture(n)), abs=1e-4)
        running.wait_for_another(worker)
        assert running.classify(picture(1)).status == 200

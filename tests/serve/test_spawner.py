"""Where workers come from when the process that imported everything for them is no more."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from serve import model_server, spawner
from tests.serve.conftest import picture
from tests.serve.running import ROOT, Running, can_fork, until

SCRIPT = Path(model_server.__file__).with_name("backend") / "mms" / "model_service_worker.py"


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
    said, _ = process.communicate(timeout=120)
    assert "--sock-name" in said


def test_a_spawner_that_dies_while_it_is_asked_is_done_without(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(120)
        process = run("--help", **{spawner.SOCKET_VARIABLE: path})
        listener.accept()[0].close()
        said, _ = process.communicate(timeout=120)
    assert "--sock-name" in said


@pytest.mark.usefixtures("nginx")
@pytest.mark.parametrize("which", ["launcher", "spawner and parent"])
def test_workers_come_back_whichever_process_they_come_from_is_killed(
    victim: Callable[[], Running], which: str
) -> None:
    running = victim()
    parent, worker = running.parts("worker")
    if which == "launcher":
        running.kill(running.parts("launcher")[0])
    else:
        running.kill(running.parts("kennel-spawner")[0])
        running.kill(parent)
        running.kill(worker)
    running.wait_for_another(worker)
    assert running.classify(picture(1)).status == 200


@pytest.mark.usefixtures("nginx")
def test_a_spawner_that_is_killed_is_replaced_and_forks(victim: Callable[[], Running]) -> None:
    running = victim()
    first = running.parts("kennel-spawner")[0]
    parent, worker = running.parts("worker")
    running.kill(first)

    def ready() -> psutil.Process | None:
        found = [one for one in running.parts("kennel-spawner") if one.pid != first.pid]
        return found[0] if found and can_fork(found[0]) else None

    another = until(ready)
    running.kill(parent)
    until(lambda: {one.ppid() for one in running.parts("kennel-parent")} == {another.pid} or None)
    assert worker.is_running()
    assert running.classify(picture(1)).status == 200

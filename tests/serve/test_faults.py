"""The server with a bad bundle, and after its processes are stopped or killed."""

import contextlib
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from serve.front import privileges
from tests.serve.conftest import picture
from tests.serve.running import ROOT, Running, gone, serving, until
from tests.serve.test_handler import drift, tamper

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nginx")]


@pytest.mark.parametrize(
    ("spoil", "reason"), [(tamper, "changed or damaged"), (drift, "golden inputs")]
)
def test_a_bad_bundle_is_never_healthy_and_ends_the_server_with_the_reason(
    spoil: Callable[[Path], None], reason: str, bundle_copy: Path
) -> None:
    spoil(bundle_copy / "model")
    statuses = set()
    with serving(bundle_copy) as running:
        while running.process.poll() is None:
            with contextlib.suppress(OSError):
                statuses.add(running.ask("GET", "/ping").status)
            time.sleep(0.1)
        assert running.process.returncode == 1
        last = running.log.splitlines()[-1]
    assert statuses == {503}
    assert "the bundle is refused" in last
    assert reason in last


@pytest.mark.parametrize(
    ("name", "value"),
    [("KENNEL_BATCH_SIZE", "some"), ("KENNEL_DEVICE", "tpu")],
)
def test_an_invalid_setting_ends_the_server_at_once(trained: Path, name: str, value: str) -> None:
    with serving(trained, **{name: value}) as running:
        assert running.wait_for_end() == 2
        assert f"{name}={value}" in running.log


def test_a_port_in_use_ends_the_server(trained: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104
        port = str(taken.getsockname()[1])
        with serving(trained, SAGEMAKER_BIND_TO_PORT=port) as running:
            assert running.wait_for_end() == 1
            last = running.log.splitlines()[-1]
            assert f"port {port} of 0.0.0.0 cannot be opened (Address already in use)" in last
            assert "set SAGEMAKER_BIND_TO_PORT" in last


def test_sigterm_while_loading_ends_the_server_cleanly(trained: Path) -> None:
    with serving(trained) as running:
        running.wait_for_ping(503)
        running.process.terminate()
        assert running.wait_for_end() == 0


def test_killed_java_ends_the_server(victim: Callable[[], Running]) -> None:
    running = victim()
    family = psutil.Process(running.process.pid).children(recursive=True)
    (java,) = running.parts("java")
    running.kill(java)
    assert running.wait_for_end() == 1
    assert "(Java) was killed by SIGKILL" in running.log.splitlines()[-1]
    assert not any(part.is_running() for part in family)


def test_killed_nginx_is_started_again(victim: Callable[[], Running]) -> None:
    running = victim()
    (master,) = running.parts("nginx")
    running.kill(master)
    until(lambda: [new for new in running.parts("nginx") if new.pid != master.pid] or None)
    running.wait_for_ping(200)
    assert running.classify(picture(1)).status == 200


@pytest.mark.parametrize("which", ["the worker", "and its parent"])
def test_killed_workers_are_replaced_and_ping_is_503_until_then(
    victim: Callable[[], Running], logits: Callable[[bytes], list[float]], which: str
) -> None:
    running = victim()
    parent, worker = running.parts("worker")
    for part in {"the worker": [worker], "and its parent": [parent, worker]}[which]:
        running.kill(part)
    for answer in running.wait_for_another(worker):
        assert answer.status == 503
        assert "worker" in answer.json()["message"]
    answer = running.classify(picture(3))
    assert answer.json() == pytest.approx(logits(picture(3)), abs=1e-4)


def test_the_workers_go_on_when_their_parent_is_killed_and_replaced(
    victim: Callable[[], Running],
) -> None:
    running = victim()
    parent, worker = running.parts("worker")
    running.kill(parent)
    until(lambda: ((parts := running.parts("kennel-parent")) and parts != [parent]) or None)
    assert running.ask("GET", "/ping").status == 200
    assert running.classify(picture(3)).status == 200
    assert running.parts("kennel-worker") == [worker]


@pytest.mark.parametrize("ping", [503, 200])
def test_all_processes_end_with_a_killed_supervisor(trained: Path, ping: int) -> None:
    with serving(trained) as running:
        running.wait_for_ping(ping)
        supervisor = psutil.Process(running.process.pid)
        until(lambda: len(supervisor.children()) >= 3 or None)  # the spawner, Java, nginx
        until(lambda: any(master.children() for master in running.parts("nginx")) or None)
        family = supervisor.children(recursive=True)
        supervisor.kill()
        running.wait_for_end()
        until(lambda: all(gone(part) for part in family) or None)


@pytest.fixture(scope="module")
def tight(trained: Path) -> Iterator[Running]:
    """A server with the smallest limits, and a bundle that any user can read."""
    with tempfile.TemporaryDirectory() as readable:
        shutil.copytree(trained / "model", Path(readable, "model"))
        Path(readable).chmod(0o755)
        limits = {"QUEUE_SIZE": 1, "BATCH_SIZE": 1, "HUNG_SECONDS": 5, "BIND_ADDRESS": "127.0.0.1"}
        named = {f"KENNEL_{name}": str(value) for name, value in limits.items()}
        with serving(Path(readable), KENNEL_RUN_DIR=readable, **named) as running:
            running.wait_for_ping(200)
            yield running


def test_no_process_that_handles_requests_runs_as_root(tight: Running) -> None:
    if privileges.unprivileged_user([Path(sys.executable), Path(privileges.__file__)]) is None:
        pytest.skip("needs root, and a checkout that other users can read")
    for child in psutil.Process(tight.process.pid).children(recursive=True):
        assert set(child.uids()) == set(child.gids()) == {privileges.NOBODY}, child.cmdline()
    assert tight.classify(picture(1)).status == 200


def test_a_full_queue_refuses_and_loses_nothing(tight: Running) -> None:
    with ThreadPoolExecutor(24) as clients:
        answers = list(clients.map(lambda n: tight.classify(picture(n % 3)), range(120)))
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) < len(answers)
    for answer in refused:
        assert answer.status == 503
        assert answer.headers["retry-after"] == "2"
        assert "no worker can take" in answer.json()["message"]


def test_a_worker_that_hangs_is_replaced_and_ping_is_503_until_then(tight: Running) -> None:
    _, worker = tight.parts("worker")
    worker.suspend()
    for answer in tight.wait_for_another(worker):
        assert answer.status == 503
        assert "worker" in answer.json()["message"]
    assert tight.classify(picture(1)).status == 200


def test_ping_is_503_while_java_hangs(tight: Running) -> None:
    (java,) = tight.parts("java")
    java.suspend()
    try:
        assert "Java" in tight.wait_for_ping(503).json()["message"]
    finally:
        java.resume()
    tight.wait_for_ping(200)


def test_workers_killed_while_loading_end_the_server(trained: Path, tmp_path: Path) -> None:
    """As the kernel does without enough memory: they report nothing."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    with serving(trained, PYTHONPATH=f"{ROOT}:{tmp_path}") as running:
        assert running.wait_for_end() == 1
        assert "died while loading" in running.log.splitlines()[-1]

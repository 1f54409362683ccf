"""The hosting contract from start to end: nginx, Java and a worker answer; SIGTERM ends them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.serve.conftest import picture
from tests.serve.running import serving


def test_a_server_starts_answers_and_stops_without_losing_a_request(
    trained: Path, logits: Callable[[bytes], list[float]], nginx: None
) -> None:
    # A batch waits long for more requests, so that some are still in the server at SIGTERM.
    with (
        serving(trained, KENNEL_MAX_BATCH_DELAY_MS="4000") as running,
        ThreadPoolExecutor(3) as clients,
    ):
        running.wait_for_ping(200)
        assert running.pings == [503, 200]
        assert running.parts("kennel-spawner")
        answer, refused = clients.map(running.classify, [picture(5), b"text"])
        assert answer.status == 200
        assert answer.json() == pytest.approx(logits(picture(5)), abs=1e-4)
        assert refused.status == 400
        assert set(refused.json()) == {"code", "message", "hint", "request_id"}
        family = psutil.Process(running.process.pid).children(recursive=True)
        answers = [clients.submit(running.classify, picture(n)) for n in range(3)]
        running.wait_for_forwarded(3)
        running.process.terminate()
        for n, late in enumerate(answers):
            assert late.result().json() == pytest.approx(logits(picture(n)), abs=1e-4)
        assert running.wait_for_end() == 0
        assert running.log.splitlines()[-1].endswith("stopped")
        assert not any(part.is_running() for part in family)

"""Hosts are done when all are done; if one fails, all fail with the first cause."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ports import free_port
from train.platform import hosts
from train.platform.hosts import Hosts

NAMES = ("algo-1", "algo-2")
TIMEOUT = 120.0  # seconds; each wait takes one or two


@pytest.fixture
def pair() -> Iterator[Callable[[], tuple[list[Hosts], list[threading.Event]]]]:
    """Return a function that starts two hosts; an event of each is set when it must end."""

    def start() -> tuple[list[Hosts], list[threading.Event]]:
        port = free_port()
        ended = [threading.Event() for _ in NAMES]
        made = [
            Hosts(NAMES, name, "localhost", port, event.set)
            for name, event in zip(NAMES, ended, strict=True)
        ]
        return made, ended

    with ThreadPoolExecutor() as pool:
        yield lambda: pool.submit(start).result(TIMEOUT)


Pair = Callable[[], tuple[list[Hosts], list[threading.Event]]]


def test_a_finished_host_waits_for_the_other(pair: Pair) -> None:
    (first, second), ended = pair()
    with ThreadPoolExecutor() as pool:
        early = pool.submit(first.done)
        assert not early.done()
        assert second.done() == ""
        assert early.result(TIMEOUT) == ""
    assert not any(event.is_set() for event in ended)


def test_a_failure_is_reported_on_both_hosts(pair: Pair) -> None:
    (first, second), ended = pair()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(first.done)  # it has nothing left to do
        assert second.fail("DataError: no photos", first=True) == "DataError: no photos"
        assert waiting.result(TIMEOUT) == "DataError: no photos"
    assert ended[0].is_set()


def test_a_host_that_lost_another_reports_the_others_cause(pair: Pair) -> None:
    (first, second), _ = pair()
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(second.fail, "lost the connection", first=False)
        assert first.fail("the real one", first=True) == "the real one"
        assert lost.result(TIMEOUT) == "the real one"


def test_a_lost_connection_is_the_cause_if_there_is_no_other(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "GRACE", 0.0)
    (first, second), ended = pair()
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(second.fail, "lost the connection", first=False)
        assert ended[0].wait(TIMEOUT)
        assert first.fail("killed", first=False) == lost.result(TIMEOUT) == "lost the connection"


def test_a_host_without_heartbeat_is_lost(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, second), ended = pair()
    second._ended.set()  # as if its machine had failed
    second._watch.join()
    monkeypatch.setattr(hosts, "SILENT", 3.0)
    assert ended[0].wait(TIMEOUT)
    assert first.cause.startswith("HostLost: no heartbeat from host algo-2 for")
    with ThreadPoolExecutor() as pool:
        left = pool.submit(second._leave)
        assert first.fail("killed", first=False).startswith("HostLost")
        left.result(TIMEOUT)

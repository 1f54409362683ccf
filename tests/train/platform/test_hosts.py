"""What hosts tell each other: done when all are, failed when one is, and by the first cause."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ports import free_port
from train.platform import hosts
from train.platform.hosts import Hosts

NAMES = ("algo-1", "algo-2")
LONG = 120.0  # seconds for what takes one or two


@pytest.fixture
def pair() -> Iterator[Callable[[], tuple[list[Hosts], list[threading.Event]]]]:
    """Two hosts of a job, as soon as they are asked for; `told` when they must end."""

    def start() -> tuple[list[Hosts], list[threading.Event]]:
        port = free_port()
        told = [threading.Event() for _ in NAMES]
        made = [
            Hosts(NAMES, name, "localhost", port, event.set)
            for name, event in zip(NAMES, told, strict=True)
        ]
        return made, told

    with ThreadPoolExecutor() as pool:
        yield lambda: pool.submit(start).result(LONG)


Pair = Callable[[], tuple[list[Hosts], list[threading.Event]]]


def test_a_host_that_is_done_waits_for_the_other(pair: Pair) -> None:
    (one, other), told = pair()
    with ThreadPoolExecutor() as pool:
        early = pool.submit(one.done)
        assert not early.done()
        assert other.done() == ""
        assert early.result(LONG) == ""
    assert not any(event.is_set() for event in told)


def test_the_first_cause_is_everyones(pair: Pair) -> None:
    (one, other), told = pair()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(one.done)  # it had nothing left to do
        assert other.fail("DataError: no photos", first=True) == "DataError: no photos"
        assert waiting.result(LONG) == "DataError: no photos"
    assert told[0].is_set()


def test_a_host_that_lost_another_tells_the_others_cause(pair: Pair) -> None:
    (one, other), _ = pair()
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(other.fail, "lost the connection", first=False)
        assert one.fail("the real one", first=True) == "the real one"
        assert lost.result(LONG) == "the real one"


def test_without_a_better_cause_its_own_counts(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "GRACE", 0.0)
    (one, other), told = pair()
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(other.fail, "lost the connection", first=False)
        assert told[0].wait(LONG)
        assert one.fail("killed", first=False) == lost.result(LONG) == "lost the connection"


def test_a_silent_host_is_given_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    (one, other), told = pair()
    other._ended.set()  # as if its machine were gone
    other._watch.join()
    monkeypatch.setattr(hosts, "SILENT", 3.0)
    assert told[0].wait(LONG)
    assert one.cause.startswith("HostLost: no heartbeat from host algo-2 for")
    with ThreadPoolExecutor() as pool:
        left = pool.submit(other._leave)
        assert one.fail("killed", first=False).startswith("HostLost")
        left.result(LONG)

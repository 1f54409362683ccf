"""Several workers of one server, started at once: one of them loads before the others."""

import multiprocessing
import threading
import time
from pathlib import Path

from serve.handler import one_first


def test_one_loads_first_and_the_others_together_after_it(tmp_path: Path) -> None:
    loading, done = threading.Event(), threading.Event()
    together = threading.Barrier(2)  # only two inside at once get past it
    order = []

    def first() -> None:
        with one_first(tmp_path):
            loading.set()
            assert done.wait(30)
            order.append("first")

    def other() -> None:
        with one_first(tmp_path):
            order.append("other")
            together.wait(30)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert loading.wait(30)
    threads += [threading.Thread(target=other) for _ in range(2)]
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)  # they would be in by now
    done.set()
    for thread in threads:
        thread.join(30)
    assert order == ["first", "other", "other"]
    assert not together.broken


def _hold(directory: Path, inside: Path) -> None:
    with one_first(directory):
        inside.touch()
        time.sleep(60)


def test_one_that_is_killed_while_it_loads_gives_its_turn_back(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path, inside))
    process.start()
    while not inside.exists():
        time.sleep(0.01)
    process.kill()
    process.join()
    with one_first(tmp_path):
        pass

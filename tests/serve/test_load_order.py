"""Several workers start together: one of them loads before the others."""

import multiprocessing
import threading
import time
from pathlib import Path

from serve.handler import one_loads_first


def test_one_worker_loads_first_and_then_the_others_together(tmp_path: Path) -> None:
    loading, done = threading.Event(), threading.Event()
    together = threading.Barrier(2)  # passes only when two are inside at the same time
    order = []

    def first() -> None:
        with one_loads_first(tmp_path):
            loading.set()
            assert done.wait(30)
            order.append("first")

    def other() -> None:
        with one_loads_first(tmp_path):
            order.append("other")
            together.wait(30)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert loading.wait(30)
    threads += [threading.Thread(target=other) for _ in range(2)]
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)  # without the lock they would be inside now
    done.set()
    for thread in threads:
        thread.join(30)
    assert order == ["first", "other", "other"]
    assert not together.broken


def _hold(directory: Path, inside: Path) -> None:
    with one_loads_first(directory):
        inside.touch()
        time.sleep(60)


def test_a_worker_that_is_killed_while_loading_releases_the_lock(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path, inside))
    process.start()
    while not inside.exists():
        time.sleep(0.01)
    process.kill()
    process.join()
    with one_loads_first(tmp_path):
        pass

"""What is freed goes back to the system, although there is something in use behind it."""

import psutil

from train.platform import memory


def test_gaps_between_what_stays_are_given_back() -> None:
    process = psutil.Process()
    freed, kept = [], []
    for _ in range(2000):  # of a size that malloc takes from its heap
        freed.append(b"x" * 50_000)
        kept.append(b"x" * 5_000)
    memory.release()
    before = process.memory_info().rss
    freed.clear()
    memory.release()
    assert before - process.memory_info().rss > 80_000_000
    assert len(kept) == 2000

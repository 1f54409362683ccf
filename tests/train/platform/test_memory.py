"""Freed memory returns to the system, even below blocks that are in use."""

import psutil

from train.platform import memory


def test_freed_gaps_between_live_blocks_are_returned() -> None:
    process = psutil.Process()
    freed, live = [], []
    for _ in range(2000):  # sizes that malloc takes from its heap
        freed.append(b"x" * 50_000)
        live.append(b"x" * 5_000)
    memory.release()
    before = process.memory_info().rss
    freed.clear()
    memory.release()
    assert before - process.memory_info().rss > 80_000_000
    assert len(live) == 2000

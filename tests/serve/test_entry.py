"""What the supervisor says about its start."""

import time

import psutil

from serve import entry


def test_the_time_until_ready_counts_from_the_start_of_the_process() -> None:
    alive = time.time() - psutil.Process().create_time()
    assert abs(entry._seconds_alive() - alive) < 1

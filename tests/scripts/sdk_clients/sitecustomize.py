"""Shorter pauses for every Python with this folder on its path: jobs here take seconds, not hours.

The SDKs ask for the state of a job every 5 to 30 seconds, and most calls cannot change that.
"""

import time

LONGEST_S = 1.0
_sleep = time.sleep


def _shorter(seconds: float) -> None:
    _sleep(min(seconds, LONGEST_S))


time.sleep = _shorter

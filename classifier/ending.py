"""How a command that was asked to end does so: it cleans up, and prints no traceback."""

import signal
from types import FrameType


def on_signals() -> None:
    """Let SIGTERM, SIGHUP and SIGINT raise SystemExit, with the exit code that shells give."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, end)

"""Writes recordings and kills each writer at a random moment; test_report_killed.py runs it.

    python -m tests.debugger.killed FOLDER TIMES

Prints the last step that each writer reported before the kill.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from debugger.recording import Writer
from debugger.records import Span, Start, Statistics, Step, Tensors

STEPS, LONGEST = 200, 0.002  # at most this many steps before the kill, and seconds after them
VALUE = Statistics(0.0, 1.0, -1.0, 1.0, 3.0, 0.5, 0.0, 0.0, 100, change=1e-3)


def main() -> None:
    folder, times = Path(sys.argv[1]), int(sys.argv[2])
    moments = random.Random(0)  # noqa: S311
    for number in range(times):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            write_until_killed(folder / str(number), write)
        os.close(write)
        reported, enough = b"", 4 * (1 + moments.randrange(STEPS))  # the first report is the start
        while len(reported) < enough:
            reported += os.read(read, 1 << 16)
        time.sleep(moments.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(last(reported, read), flush=True)
        os.close(read)


def write_until_killed(recording: Path, report: int) -> None:
    """Write steps until killed; write the number of each finished step to the pipe `report`."""
    with Writer(recording, "algo-1", 0) as writer:
        start = time.time()
        writer.write(Start(start, "killed", 1, start, {"architecture": "resnet18"}))
        os.write(report, (0).to_bytes(4, "big"))
        step = 0
        while True:
            now = time.time()
            spans = (Span("forward", now - 1e-3, 5e-4), Span("backward", now - 5e-4, 5e-4))
            writer.write(Step(now, "train", step, 0, now - 1e-3, spans, 8, 1.0))
            step += 1
            os.write(report, step.to_bytes(4, "big"))
            layers = {f"layer{i}.weight": VALUE for i in range(50)}
            writer.write(Tensors(now, "train", step, "weights", layers))


def last(reported: bytes, read: int) -> int:
    """Return the last step reported, -1 if there is none; also reads the rest of the pipe."""
    while part := os.read(read, 1 << 16):
        reported += part
    return int.from_bytes(reported[-4:], "big") - 1


if __name__ == "__main__":
    main()

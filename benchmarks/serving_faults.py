r"""Does the server recover when one of its processes is killed, many times and under load?

A process is killed; then /ping is asked until the process is replaced, /ping returns 200 and a
picture is answered, or until the server ends. A lie is a /ping of 200, right after it a refused
picture, and a /ping of 200 again. The counts are written after every kill: a run can be interrupted
and continued, and the counts of other kinds of processes in the file remain.

    python -m benchmarks.serving_faults --kinds worker parent --count 50 --seconds 300
    python -m benchmarks.serving_faults --count 2 --image kennel-serve-cpu:local --out …
"""

import argparse
import contextlib
import functools
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.clients import Load, classify, ping
from benchmarks.contained import add_onnx, contained
from benchmarks.measuring import RESULTS, machine_load, this_machine, write
from tests.serve.conftest import small
from tests.serve.running import Running, gone, serving

GOAL_S = 10.0
GIVE_UP_S = 90.0
Start = Callable[[], contextlib.AbstractContextManager[Running]]


def victims(running: Running, kind: str) -> list[psutil.Process]:
    """Return the processes to kill."""
    if kind == "supervisor":
        return [psutil.Process(running.pid)]
    if kind in ("java", "launcher"):
        return running.parts(kind)[:1]
    if kind == "spawner":
        return running.parts("kennel-spawner")
    masters = running.parts("nginx")
    if kind == "nginx":
        return masters[-1:]
    if kind == "nginx worker":
        return [child for master in masters for child in master.children()][-1:]
    return running.parts({"worker": "kennel-worker", "parent": "kennel-parent"}[kind])


def replaced(running: Running, kind: str) -> bool:
    """Return whether there is a process of the kind again; a spawner is never replaced."""
    with contextlib.suppress(ValueError, psutil.NoSuchProcess):
        return kind == "spawner" or bool(victims(running, kind))
    return False


def kill(running: Running, kind: str) -> dict[str, Any]:
    """Kill once; return the outcome."""
    family = psutil.Process(running.pid).children(recursive=True)
    killed = victims(running, kind)
    began = time.monotonic()
    for victim in killed:
        victim.send_signal(signal.SIGKILL)
    while not all(gone(victim) for victim in killed):
        time.sleep(0.002)
    lies = 0
    while time.monotonic() - began < GIVE_UP_S:
        if running.process.poll() is not None:
            psutil.wait_procs(family, timeout=30)
            left = [one for one in family if one.is_running()]
            return {
                "outcome": "left processes behind" if left else "ended",
                "code": running.process.returncode,
                "seconds": time.monotonic() - began,
                "lies": lies,
            }
        if replaced(running, kind) and ping(running.port) == 200:
            if classify(running.port) == 200:
                seconds = time.monotonic() - began
                return {"outcome": "recovered", "seconds": seconds, "lies": lies}
            lies += ping(running.port) == 200 and running.process.poll() is None
        time.sleep(0.02)
    return {"outcome": "neither", "seconds": GIVE_UP_S, "lies": lies}


def settled(running: Running, kind: str) -> bool:
    """Wait for the next process to kill and a second of health; return whether both came."""
    deadline = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            return False
        with contextlib.suppress(ValueError, psutil.NoSuchProcess):
            if victims(running, kind) and ping(running.port) == 200:
                time.sleep(1.2)
                return running.process.poll() is None and bool(victims(running, kind))
        time.sleep(0.05)
    return False


class Results:
    """The counts, in a file that is written after every kill."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.all["machine"] = this_machine()

    def tries(self, kind: str) -> list[dict[str, Any]]:
        tries: list[dict[str, Any]] = self.all.setdefault("tries", {}).setdefault(kind, [])
        return tries

    def add(self, kind: str, one: dict[str, Any]) -> None:
        one["seconds"] = round(one["seconds"], 2)
        self.tries(kind).append(one | {"machine_load": machine_load()})
        self.all.setdefault("counts", {})[kind] = self._counts(kind)
        write(self._path, self.all)
        print(kind, json.dumps(one), flush=True)

    def _counts(self, kind: str) -> dict[str, Any]:
        tries = self.tries(kind)
        good = [one for one in tries if one["outcome"] == "recovered"]
        ended = [one for one in tries if one["outcome"] == "ended"]
        seconds = sorted(one["seconds"] for one in tries)
        return {
            "times": len(tries),
            "recovered": len(good),
            "recovered within 10 s": sum(one["seconds"] <= GOAL_S for one in good),
            "ended": len(ended),
            "ended with a code other than 0": sum(one["code"] != 0 for one in ended),
            "median s": seconds[len(seconds) // 2],
            "slowest s": seconds[-1],
            "lies of /ping": sum(one["lies"] for one in tries),
            "requests lost": sum(one.get("lost", 0) for one in tries),
            "requests answered": sum(one.get("answered", 0) for one in tries),
        }


def kills(kind: str, start: Start, results: Results, count: int, deadline: float) -> None:
    """Kill one kind until `count` tries are recorded; start a server when there is none."""
    while len(results.tries(kind)) < count and time.monotonic() < deadline:
        with start() as running:
            running.wait_for_ping(200)
            while len(results.tries(kind)) < count and time.monotonic() < deadline:
                if not settled(running, kind):
                    break
                load = Load(running.port)
                with load.running():
                    time.sleep(0.3)
                    one = kill(running, kind)
                results.add(kind, one | {"answered": load.answered, "lost": len(load.failed)})
                if kind == "spawner":
                    break  # a server has only one


def stops(start: Start, results: Results, count: int, deadline: float) -> None:
    """Send SIGTERM under load: accepted requests are answered, and the server ends with 0."""
    kind = "SIGTERM"
    while len(results.tries(kind)) < count and time.monotonic() < deadline:
        with start() as running:
            running.wait_for_ping(200)
            load = Load(running.port)
            with load.running():
                while load.answered < 20:
                    time.sleep(0.01)
                began = time.monotonic()
                running.process.terminate()
                code = running.wait_for_end()
                seconds = time.monotonic() - began
            one = {"outcome": "ended", "code": code, "seconds": seconds, "lies": 0}
            lost = {"answered": load.answered, "lost": len(load.failed), "how": load.failed}
            results.add(kind, one | lost)


KILLED = (
    *("worker", "parent", "launcher", "spawner", "java", "nginx", "nginx worker"),
    "supervisor",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=(*KILLED, "SIGTERM"), default=KILLED)
    parser.add_argument(
        "--count", type=int, default=50, help="kills of each kind, with recorded ones"
    )
    parser.add_argument("--seconds", type=float, default=3600, help="stop after this time")
    parser.add_argument("--image", help="serve in a container of this image, not as a process")
    parser.add_argument("--out", type=Path, default=RESULTS / "serving-faults.json")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    results = Results(options.out)
    with tempfile.TemporaryDirectory() as directory:
        base = small(Path(directory))
        base.chmod(0o755)
        start: Start = functools.partial(serving, base)
        if options.image:
            add_onnx(base)
            start = functools.partial(contained, options.image, base)
            command = f"python -m benchmarks.serving_faults --count {options.count}"
            results.all["command"] = f"{command} --image {options.image}"
        tasks: dict[str, Callable[[], None]] = {
            kind: lambda kind=kind: kills(kind, start, results, options.count, deadline)  # type: ignore[misc]
            for kind in KILLED
        }
        tasks["SIGTERM"] = lambda: stops(start, results, options.count, deadline)
        for kind in options.kinds:
            tasks[kind]()
    print(json.dumps(results.all.get("counts"), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

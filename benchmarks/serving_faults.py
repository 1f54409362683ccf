r"""What the server does when its parts are killed, many times over and under load.

Of each kind so many kills; after each, the victim being gone, another is waited for and /ping asked
until it says 200 and a picture is answered at once, or the server ends. A lie is a 200 with a
picture refused right after it and a 200 again. What was counted is kept after every single try, so
that a run may be stopped and gone on with; other kinds' counts in the results stay.

    python -m benchmarks.serving_faults --kinds worker parent --count 50 --seconds 300
"""

import argparse
import contextlib
import http.client
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.servers import this_machine
from tests.serve.conftest import picture, small
from tests.serve.running import Running, gone, serving

GOAL_S = 10.0
CLIENTS = 4
GIVE_UP_S = 90.0
PICTURES = [picture(seed) for seed in range(8)]


@dataclass
class Load:
    """Clients that send pictures without pause, each request over a connection of its own."""

    port: int
    answered: int = 0
    failed: list[str] = field(default_factory=list)  # answered with 5xx, or cut off
    refused: int = 0  # no connection: nothing was accepted
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _client(self, seed: int) -> None:
        while not self._stop.is_set():
            outcome = ask(self.port, PICTURES[seed % len(PICTURES)])
            seed += 1
            with self._lock:
                if outcome == "200":
                    self.answered += 1
                elif outcome == "refused":
                    self.refused += 1
                else:
                    self.failed.append(outcome)
            if outcome != "200":
                self._stop.wait(0.05)

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            for seed in range(CLIENTS):
                pool.submit(self._client, seed)
            try:
                yield self
            finally:
                self._stop.set()


def ask(port: int, body: bytes | None = None, timeout: float = 30) -> str:
    """Post a picture, or ping; return the status, `refused` for no connection, or what broke."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        try:
            connection.connect()
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return f"{type(error).__name__} while connecting"
        try:
            if body is None:
                connection.request("GET", "/ping")
            else:
                connection.request("POST", "/invocations", body, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        return str(response.status)


def victims(running: Running, kind: str) -> list[psutil.Process]:
    """Return the processes to kill."""
    if kind == "supervisor":
        return [psutil.Process(running.process.pid)]
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
    """Say whether there is another of the kind; of spawners there is only the first."""
    with contextlib.suppress(ValueError, psutil.NoSuchProcess):
        return kind == "spawner" or bool(victims(running, kind))
    return False


def kill(running: Running, kind: str) -> dict[str, Any]:
    """Kill once; return what became of it."""
    family = psutil.Process(running.process.pid).children(recursive=True)
    killed = victims(running, kind)
    begun = time.monotonic()
    for victim in killed:
        victim.send_signal(signal.SIGKILL)
    while not all(gone(victim) for victim in killed):
        time.sleep(0.002)
    lies = 0
    while time.monotonic() - begun < GIVE_UP_S:
        if running.process.poll() is not None:
            psutil.wait_procs(family, timeout=30)
            left = [one for one in family if one.is_running()]
            return {
                "outcome": "left processes behind" if left else "ended",
                "code": running.process.returncode,
                "seconds": time.monotonic() - begun,
                "lies": lies,
            }
        if replaced(running, kind) and ask(running.port, timeout=5) == "200":
            if ask(running.port, PICTURES[0]) == "200":
                seconds = time.monotonic() - begun
                return {"outcome": "recovered", "seconds": seconds, "lies": lies}
            lies += ask(running.port, timeout=5) == "200" and running.process.poll() is None
        time.sleep(0.02)
    return {"outcome": "neither", "seconds": GIVE_UP_S, "lies": lies}


def settled(running: Running, kind: str) -> bool:
    """Say whether the next victim is there; wait for it, and for a second of health."""
    deadline = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            return False
        with contextlib.suppress(ValueError, psutil.NoSuchProcess):
            if victims(running, kind) and ask(running.port, timeout=5) == "200":
                time.sleep(1.2)
                return running.process.poll() is None and bool(victims(running, kind))
        time.sleep(0.05)
    return False


class Results:
    """The counts, in a file that is written after every try."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.all["machine"] = this_machine()

    def tries(self, kind: str) -> list[dict[str, Any]]:
        tries: list[dict[str, Any]] = self.all.setdefault("tries", {}).setdefault(kind, [])
        return tries

    def add(self, kind: str, one: dict[str, Any]) -> None:
        one["seconds"] = round(one["seconds"], 2)
        self.tries(kind).append(one | {"machine_load": round(os.getloadavg()[0], 1)})
        self.all.setdefault("counts", {})[kind] = self._counts(kind)
        self._path.write_text(json.dumps(self.all, indent=1) + "\n")
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


def kills(kind: str, base: Path, results: Results, count: int, deadline: float) -> None:
    """Kill one kind until `count` tries are on record, starting a server where one is needed."""
    while len(results.tries(kind)) < count and time.monotonic() < deadline:
        with serving(base) as running:
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
                    break  # a server has but the one


def stops(base: Path, results: Results, count: int, deadline: float) -> None:
    """SIGTERM under load: every accepted request is answered, and the server ends with 0."""
    kind = "SIGTERM"
    while len(results.tries(kind)) < count and time.monotonic() < deadline:
        with serving(base) as running:
            running.wait_for_ping(200)
            load = Load(running.port)
            with load.running():
                while load.answered < 20:
                    time.sleep(0.01)
                begun = time.monotonic()
                running.process.terminate()
                code = running.wait_for_end()
                seconds = time.monotonic() - begun
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
    parser.add_argument("--count", type=int, default=50, help="of each kind, on record in all")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so long")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serving-faults.json"))
    given = parser.parse_args()
    deadline = time.monotonic() + given.seconds
    results = Results(given.out)
    with tempfile.TemporaryDirectory() as directory:
        base = small(Path(directory))
        base.chmod(0o755)
        tasks: dict[str, Callable[[], None]] = {
            kind: lambda kind=kind: kills(kind, base, results, given.count, deadline)  # type: ignore[misc]
            for kind in KILLED
        }
        tasks["SIGTERM"] = lambda: stops(base, results, given.count, deadline)
        for kind in given.kinds:
            tasks[kind]()
    print(json.dumps(results.all.get("counts"), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

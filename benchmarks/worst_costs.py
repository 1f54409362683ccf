r"""What does the most expensive request cost, and whom does it harm?

A server of two workers gets good requests all the time. Each costly request of
tests/serve/costly_bodies.py is sent alone and then four times at once. Between two of them there is
a quiet time, whose latencies are compared with those under attack. The benchmark fails if a good
request or a ping is not answered with 200, a costly one gets a 5xx, a worker dies, the 99th
percentile of good requests is over three times that of the quiet times, or a process has more
memory than stated.

    python -m benchmarks.worst_costs
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from benchmarks.clients import JPEG, PICTURES, ask, ping
from benchmarks.measuring import RESULTS, this_machine, write
from serve.lane.server import memory
from serve.settings import Settings
from tests.serve.conftest import small
from tests.serve.costly_bodies import Costly, everything
from tests.serve.running import Running, serving

WORKERS, FACTOR = 2, 3.0
WORKER_MB = 1500
LANE_MB = memory(Settings()) // 2**20  # type: ignore[call-arg]
QUIET_S = 1.5
CLIENTS = 3
PAUSE_S = 0.03


@dataclass(frozen=True)
class Sent:
    """A good request or a ping: when it began, how long it took, its status."""

    begun: float
    seconds: float
    status: int
    is_ping: bool


def good_requests(port: int, connection: Connection) -> None:
    """Send good requests and pings until told to end; then send back what happened."""
    sent: list[Sent] = []
    ended = threading.Event()

    def client(seed: int) -> None:
        while not ended.is_set():
            begun = time.monotonic()
            is_ping = seed == CLIENTS
            status = (
                ping(port)
                if is_ping
                else ask(port, "POST", "/invocations", PICTURES[seed], JPEG)[0]
            )
            sent.append(Sent(begun, time.monotonic() - begun, status, is_ping))
            time.sleep(0.2 if is_ping else PAUSE_S)

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        for seed in range(CLIENTS + 1):
            pool.submit(client, seed)
        connection.recv()
        ended.set()
    connection.send(sent)


class Memory(threading.Thread):
    """The highest resident memory of the workers and of the lane's processes, MiB."""

    def __init__(self, running: Running) -> None:
        super().__init__(daemon=True)
        self._running, self._ended = running, threading.Event()
        self.workers = self.lane = 0

    def run(self) -> None:
        workers = self._running.parts("kennel-worker")
        lane = self._running.parts("kennel-lane")
        while not self._ended.wait(0.03):
            self.workers = max(self.workers, *(_resident(one) for one in workers))
            children = [child for one in lane for child in one.children(recursive=True)]
            self.lane = max([self.lane, *(_resident(one) for one in children)])

    def reset(self) -> None:
        self.workers = self.lane = 0

    def end(self) -> None:
        self._ended.set()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss) >> 20
    except psutil.NoSuchProcess:
        return 0


def send(port: int, request: Costly, body: bytes) -> tuple[int, float, str]:
    """Return status, seconds and message."""
    path = "/invocations" + (f"?{request.query}" if request.query else "")
    headers = {"Content-Type": request.content_type, **request.headers}
    begun = time.monotonic()
    status, answer = ask(port, "POST", path, body, headers, timeout=120)
    took = time.monotonic() - begun
    try:
        message = str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        message = "" if status == 200 else repr(answer[:80])
    return status, took, message


@contextmanager
def load(port: int) -> Iterator[list[Sent]]:
    """Send good requests from another process while the block runs; then the list is filled."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=good_requests, args=(port, theirs))
    process.start()
    sent: list[Sent] = []
    try:
        yield sent
    finally:
        ours.send(None)
        sent += ours.recv()
        process.join()


def p99(sent: list[Sent]) -> float:
    seconds = sorted(one.seconds for one in sent)
    return seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))] if seconds else 0.0


def measure(running: Running, chosen: list[Costly]) -> dict[str, Any]:
    port = running.port
    before = [part.pid for part in running.parts("worker")]
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    quiet: list[tuple[float, float]] = []
    attacked: list[tuple[float, float]] = []
    watched = Memory(running)
    with load(port) as sent, ThreadPoolExecutor(4) as pool:
        time.sleep(5)
        watched.start()
        for request in chosen:
            body = request.body()
            name = f"{request.group}: {request.name}"
            begun = time.monotonic()
            time.sleep(QUIET_S)
            quiet.append((begun, time.monotonic()))
            watched.reset()
            begun = time.monotonic()
            alone = send(port, request, body)
            four = list(pool.map(lambda _, r=request, b=body: send(port, r, b), range(4)))
            attacked.append((begun, time.monotonic()))
            statuses = sorted({status for status, _, _ in (alone, *four)})
            if not all(200 <= status < 500 for status in statuses):
                faults.append(f"{name}: {statuses} {alone[2]}")
            rows.append(
                {
                    "group": request.group,
                    "name": request.name,
                    "bytes": len(body),
                    "status": statuses if len(statuses) > 1 else statuses[0],
                    "message": alone[2][:120],
                    "seconds": round(alone[1], 3),
                    "four_seconds": round(max(took for _, took, _ in four), 3),
                    "workers_mib": watched.workers,
                    "lane_mib": watched.lane,
                }
            )
            print(rows[-1], flush=True)
        watched.end()
    good = [one for one in sent if not one.is_ping]
    for one in sent:
        if one.status != 200:
            faults.append(f"{'ping' if one.is_ping else 'a good request'}: {one.status}")
    if [part.pid for part in running.parts("worker")] != before:
        faults.append("a worker died")

    def within(spans: list[tuple[float, float]]) -> list[Sent]:
        # A request is under attack if any of its time is.
        return [o for o in good if any(a - o.seconds <= o.begun < b for a, b in spans)]

    under_attack = within(attacked)
    touched = {id(one) for one in under_attack}
    in_quiet = [one for one in within(quiet) if id(one) not in touched]
    for row, span in zip(rows, attacked, strict=True):
        mine = within([span])
        row["good_requests"] = len(mine)
        row["good_p99_seconds"] = round(p99(mine), 3)
    if not in_quiet:
        raise RuntimeError("no good request was answered between two attacks: is the machine busy?")
    ratio = p99(under_attack) / p99(in_quiet)
    if ratio > FACTOR:
        faults.append(f"the 99th percentile grew {ratio:.1f} times")
    peaks = {kind: max(row[f"{kind}_mib"] for row in rows) for kind in ("workers", "lane")}
    if peaks["workers"] > WORKER_MB or peaks["lane"] > LANE_MB:
        faults.append(f"memory: {peaks}")
    return {
        "faults": faults,
        "good requests": {
            "sent": len(good),
            "quiet": _quantiles(in_quiet),
            "under attack": _quantiles(under_attack),
            "p99, ratio": round(ratio, 2),
            "slowest_seconds": round(max(one.seconds for one in good), 3),
        },
        "pings": {
            "sent": len(sent) - len(good),
            "slowest_seconds": round(max(one.seconds for one in sent if one.is_ping), 3),
        },
        "peak, MiB": {
            "a worker": peaks["workers"],
            "a worker, allowed": WORKER_MB,
            "a process of the lane": peaks["lane"],
            "a process of the lane, allowed": LANE_MB,
        },
        "costly requests": rows,
    }


def _quantiles(sent: list[Sent]) -> dict[str, float]:
    seconds = [one.seconds for one in sent]
    return {
        "count": len(sent),
        "p50_seconds": round(statistics.median(seconds), 4),
        "p99_seconds": round(p99(sent), 4),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the slowest request of each group as a table."""
    lines = [
        "| body | slowest | status | seconds | four at once, seconds | worker, MiB | lane, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        worst = max(mine, key=lambda row: float(row["seconds"]))
        peaks = [max(row[f"{kind}_mib"] for row in mine) for kind in ("workers", "lane")]
        lines.append(
            f"| {group} ({len(mine)}) | {worst['name']} | {worst['status']} | "
            f"{worst['seconds']:.2f} | {worst['four_seconds']:.2f} | {peaks[0]} | {peaks[1]} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="a group, such as PNG")
    parser.add_argument("--out", type=Path, default=RESULTS / "worst-costs.json")
    options = parser.parse_args()
    chosen = [one for one in everything() if options.only in (None, one.group)]
    with tempfile.TemporaryDirectory() as directory:
        base = small(Path(directory))
        base.chmod(0o755)
        settings = {"KENNEL_WORKER_MEMORY_MB": str(WORKER_MB)}
        with serving(base, SAGEMAKER_MODEL_SERVER_WORKERS=str(WORKERS), **settings) as running:
            running.wait_for_ping(200)
            time.sleep(5)  # until the second worker has loaded
            found = measure(running, chosen)
    contents = {"command": "python -m benchmarks.worst_costs", "machine": this_machine(), **found}
    write(options.out, contents)
    rows = found.pop("costly requests")
    print(json.dumps(found, indent=1))
    print(table(rows))
    return int(bool(found["faults"]))


if __name__ == "__main__":
    sys.exit(main())

r"""Can a request harm the server? Malformed bodies, and every path and method, sent to a whole one.

The bodies are those of tests/serve/hostile.py: mutated pictures, JSON, forms and arrays, some in
gzip that unpacks to 100 MB, and some made by hand; afterwards a good picture must get the same
answer as before. The benchmark fails if a 5xx was answered, a worker died or grew by 50 MB, or a
path other than the three routes answered.

    python -m benchmarks.serving_hostile --count 10000
    python -m benchmarks.serving_hostile --count 800 --image kennel-serve-cpu:local --out …
"""

import argparse
import collections
import functools
import json
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.clients import JPEG, ask
from benchmarks.contained import add_onnx, contained
from benchmarks.measuring import RESULTS, family, this_machine, write
from tests.serve.conftest import picture, small
from tests.serve.hostile import hand_made, mutated
from tests.serve.running import Running, serving
from tests.serve.worker import Request

GROWTH_BYTES = 50e6
UNPACKED_MB = (0, 10, 30, 100)
# The largest body is that of asynchronous endpoints at their usual size: all of UNPACKED_MB fit.
SETTINGS = {"KENNEL_MAX_PIXELS": "1000000", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "100"}
BATCH = 8
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
ROUTES = {"/ping": {"GET", "HEAD"}, "/invocations": {"POST"}}
ROUTES["/execution-parameters"] = {"GET", "HEAD"}
OTHERS = (
    "/", "/models", "/models/model", "/models/model/invoke", "/predictions/model", "/ping/",
    "/invocations/", "/Invocations", "/invocations/../models", "/%2e%2e/models", "/..;/models",
    "/api-description", "/metrics", "/nginx.conf", "/health.sock", "/.git/config", "/ping%00",
    "/workers", "/execution-parameters/x", "/invocations.json",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="mutated bodies")
    parser.add_argument("--seconds", type=float, default=3600, help="send no more after this time")
    parser.add_argument("--image", help="serve in a container of this image, not as a process")
    parser.add_argument("--out", type=Path, default=RESULTS / "serving-hostile.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as directory:
        base = small(Path(directory))
        base.chmod(0o755)
        start = serving
        if options.image:
            add_onnx(base)
            start = functools.partial(contained, options.image)
        with start(base, **SETTINGS) as running:
            running.wait_for_ping(200)
            found = assault(running, options.count, time.monotonic() + options.seconds)
    contents = {
        "command": f"python -m benchmarks.serving_hostile --count {options.count}"
        + (f" --image {options.image}" if options.image else ""),
        "machine": this_machine(),
        **found,
    }
    write(options.out, contents)
    print(json.dumps(contents, indent=1))
    return int(bool(found["faults"]))


def assault(running: Running, count: int, deadline: float) -> dict[str, Any]:
    """Send everything; return the counts, and the faults: what must not happen."""
    faults: list[str] = []
    good = Request(picture(1))
    first = send(running.port, good)
    with ThreadPoolExecutor(BATCH) as pool:
        for _ in range(50):
            list(pool.map(lambda _: send(running.port, good), range(BATCH)))
        workers = [part.pid for part in running.parts("worker")]
        before = memory(running)
        began = time.monotonic()
        statuses = {"mutated": mutations(running, pool, count, deadline, faults)}
        print("made by hand", flush=True)
        statuses["made by hand"] = collections.Counter()
        for name, request in hand_made().items():
            status, body = send(running.port, request)
            statuses["made by hand"][status] += 1
            if failed(status):
                faults.append(f"{name}: {status} {body[:200]!r}")
        after = memory(running)
    if send(running.port, good) != first:
        faults.append("a good picture is no longer answered as before")
    if [part.pid for part in running.parts("worker")] != workers:
        faults.append("a worker died")
    if after["worker"] - before["worker"] > GROWTH_BYTES:
        faults.append(f"the worker grew from {before['worker']} to {after['worker']} bytes")
    paths = routes(running.port, faults)
    return {
        "faults": faults,
        "statuses": {kind: dict(sorted(seen.items())) for kind, seen in statuses.items()},
        "memory growth, MB": {
            name: round((after[name] - before[name]) / 1e6, 1) for name in before
        },
        "paths x methods": paths,
        "listeners on other addresses than loopback": listeners(running, faults),
        "seconds": round(time.monotonic() - began),
    }


def mutations(
    running: Running, pool: ThreadPoolExecutor, count: int, deadline: float, faults: list[str]
) -> collections.Counter[int]:
    statuses: collections.Counter[int] = collections.Counter()

    @settings(
        max_examples=-(-count // BATCH),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(mutated(UNPACKED_MB), min_size=BATCH, max_size=BATCH))
    def shower(requests: list[Request]) -> None:
        if time.monotonic() > deadline:
            return
        for request, (status, body) in zip(
            requests, pool.map(lambda one: send(running.port, one), requests), strict=True
        ):
            statuses[status] += 1
            if statuses.total() % 500 == 0:
                print(f"{statuses.total()} mutated bodies: {dict(statuses)}", flush=True)
            if failed(status):
                shown = f"{request.content_type} {request.encoding} {request.body[:60]!r}"
                faults.append(f"{shown}: {status} {body!r}")

    shower()
    return statuses


def send(port: int, request: Request) -> tuple[int, bytes]:
    given = {"Content-Type": request.content_type, "Content-Encoding": request.encoding}
    headers = {name: value for name, value in given.items() if value}
    return ask(port, "POST", "/invocations", request.body, headers)


def failed(status: int) -> bool:
    """Return whether a request got a 5xx or no answer."""
    return not 200 <= status < 500


def routes(port: int, faults: list[str]) -> dict[str, int]:
    """Request every path with every method; only the three routes answer, to their methods."""
    statuses: collections.Counter[str] = collections.Counter()
    for path in (*ROUTES, *OTHERS):
        for method in METHODS:
            body = picture(1) if method in ("POST", "PUT", "PATCH") else None
            status, _ = ask(port, method, path, body, JPEG)
            allowed = method in ROUTES.get(path, ())
            statuses[f"{'allowed' if allowed else 'not allowed'}: {status}"] += 1
            if (status == 200) != allowed or (not allowed and status not in (400, 404, 405)):
                faults.append(f"{method} {path}: {status}")
    return dict(sorted(statuses.items()))


def memory(running: Running) -> dict[str, int]:
    """Return the resident memory of the worker and of all other processes, in bytes."""
    worker = running.parts("worker")[-1]
    sizes = {one.pid: one.memory_info().rss for one in family(running.pid)}
    return {"worker": sizes.pop(worker.pid), "all others": sum(sizes.values())}


def listeners(running: Running, faults: list[str]) -> list[str]:
    """Return the sockets that other machines can reach: only the server's port."""
    found = {
        f"{one.laddr.ip}:{'the port' if one.laddr.port == running.port else one.laddr.port}"
        for process in family(running.pid)
        for one in process.net_connections("inet")
        if one.status == psutil.CONN_LISTEN and not one.laddr.ip.startswith(("127.", "::ffff:127."))
    }
    if found != {"0.0.0.0:the port"}:
        faults.append(f"open to others: {sorted(found)}")
    return sorted(found)


if __name__ == "__main__":
    sys.exit(main())

r"""A steady load for minutes: does a server make errors, grow in memory or become slower?

The server's throughput is measured for a few seconds; then a share of it is sent at an even pace.
Memory is the sum over all processes, its slope fitted over the second half, when caches are full.
Latency's drift compares the median of the last fifth of the time with that of the first.

    python -m benchmarks.soak --minutes 20 --bundle build/small/model --photos …
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.clients import classify, ping
from benchmarks.measuring import RESULTS, family, machine_load, this_machine, write
from benchmarks.servers import jpegs
from tests.serve.conftest import picture, small
from tests.serve.running import Running, serving

CLIENTS = 16
SAMPLE_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--share", type=float, default=0.8, help="of the throughput measured first")
    parser.add_argument("--rate", type=float, help="requests a second, instead of a share")
    parser.add_argument("--base", type=Path, help="holds model/; default: a small network")
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs; default: small pictures")
    parser.add_argument("--out", type=Path, default=RESULTS / "serving-soak.json")
    options = parser.parse_args()
    photos = [one.read_bytes() for one in jpegs(options.photos, 64)] if options.photos else []
    photos = photos or [picture(seed) for seed in range(16)]
    with tempfile.TemporaryDirectory() as directory:
        base = options.base or small(Path(directory))
        Path(directory).chmod(0o755)
        with serving(base.resolve()) as running:
            running.wait_for_ping(200)
            throughput = saturate(running.port, photos, seconds=15)
            rate = options.rate or options.share * throughput
            samples = soak(running, photos, rate, options.minutes * 60)
            found = conclude(samples)
    contents = {
        "command": f"python -m benchmarks.soak --minutes {options.minutes:g}"
        + (f" --rate {options.rate:g}" if options.rate else f" --share {options.share:g}")
        + (" --base …" if options.base else "")
        + (" --photos …" if options.photos else ""),
        "machine": this_machine(),
        "network": "the bundle in --base" if options.base else "resnet18, pictures of 64 x 64",
        "throughput measured first, requests/s": round(throughput, 1),
        "asked for, requests/s": round(rate, 1),
        **found,
        "samples": samples,
    }
    write(options.out, contents)
    print(json.dumps({k: v for k, v in contents.items() if k != "samples"}, indent=1))
    return int(bool(found["errors"]))


def saturate(port: int, photos: list[bytes], seconds: float) -> float:
    """Return requests a second with all clients at work."""
    end = time.monotonic() + seconds

    def client(seed: int) -> int:
        done = 0
        while time.monotonic() < end:
            done += classify(port, photos[(seed + done) % len(photos)]) == 200
        return done

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(client, range(CLIENTS))) / seconds


def soak(
    running: Running, photos: list[bytes], rate: float, seconds: float
) -> list[dict[str, Any]]:
    """Send pictures at an even pace; return a sample every few seconds."""
    began = time.monotonic()
    turns = count()
    took: list[float] = []
    errors: list[float] = []
    late: list[float] = []

    def client() -> None:
        while True:
            turn = next(turns)
            due = began + turn / rate
            if due > began + seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            sent = time.monotonic()
            late.append(sent - due)
            if classify(running.port, photos[turn % len(photos)]) == 200:
                took.append(time.monotonic() - sent)
            else:
                errors.append(time.monotonic() - sent)

    samples: list[dict[str, Any]] = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client) for _ in range(CLIENTS)]
        while time.monotonic() - began < seconds or not all(one.done() for one in clients):
            time.sleep(SAMPLE_S)
            done = [took.pop() for _ in range(len(took))]
            samples.append(
                {
                    "at_s": round(time.monotonic() - began, 1),
                    "answered": len(done),
                    "errors": len([errors.pop() for _ in range(len(errors))]),
                    "p50_ms": round(1000 * statistics.median(done), 2) if done else None,
                    "max_ms": round(1000 * max(done), 2) if done else None,
                    "late_ms": round(1000 * max([late.pop() for _ in range(len(late))] or [0])),
                    **memory_mb(running),
                    "ping": ping(running.port),
                    "machine_load": machine_load(),
                }
            )
    return samples


def memory_mb(running: Running) -> dict[str, int]:
    """Return the resident memory of all processes, of the workers and of Java, in MB."""
    parts = {
        "memory_mb": [one for one in family(running.process.pid) if one.is_running()],
        "worker_mb": running.parts("kennel-worker"),
        "java_mb": running.parts("java"),
    }
    return {
        name: round(sum(one.memory_info().rss for one in processes) / 1e6)
        for name, processes in parts.items()
    }


def conclude(samples: list[dict[str, Any]]) -> dict[str, Any]:
    half, fifth = samples[len(samples) // 2 :], max(1, len(samples) // 5)
    minutes = [one["at_s"] / 60 for one in half]
    slopes = {
        name: round(statistics.linear_regression(minutes, [one[name] for one in half]).slope, 3)
        for name in ("memory_mb", "worker_mb", "java_mb")
    }
    p50: Callable[[list[dict[str, Any]]], float] = lambda part: statistics.median(  # noqa: E731
        one["p50_ms"] for one in part if one["p50_ms"]
    )
    return {
        "minutes": round(samples[-1]["at_s"] / 60, 1),
        "answered": sum(one["answered"] for one in samples),
        "errors": sum(one["errors"] for one in samples),
        "pings other than 200": sum(one["ping"] != 200 for one in samples),
        "memory, MB": [samples[0]["memory_mb"], half[0]["memory_mb"], samples[-1]["memory_mb"]],
        "slopes in the second half, MB a minute": slopes,
        "p50 ms, first fifth": round(p50(samples[:fifth]), 2),
        "p50 ms, last fifth": round(p50(samples[-fifth:]), 2),
        "machine's load, median": statistics.median(one["machine_load"] for one in samples),
    }


if __name__ == "__main__":
    sys.exit(main())

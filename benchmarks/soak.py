r"""Hours in minutes: a steady stream of pictures, and what becomes of errors, memory and latency.

First the server's throughput is measured for a few seconds; then a share of it is sent at an even
pace for so long. Memory is every part's together, its slope fitted over the second half, when
caches are full; latency's drift is the median of the last fifth over that of the first.

    python -m benchmarks.soak --minutes 20 --bundle build/small/model --photos …
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.servers import jpegs, this_machine
from benchmarks.serving_hostile import ask, family
from tests.serve.conftest import picture, small
from tests.serve.running import Running, serving

CLIENTS = 16
SAMPLE_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--share", type=float, default=0.8, help="of the throughput measured first")
    parser.add_argument("--rate", type=float, help="requests a second, in place of a share")
    parser.add_argument("--base", type=Path, help="a folder with model/ in it; else a small one")
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs; else small pictures")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serving-soak.json"))
    given = parser.parse_args()
    photos = [one.read_bytes() for one in jpegs(given.photos, 64)] if given.photos else []
    photos = photos or [picture(seed) for seed in range(16)]
    with tempfile.TemporaryDirectory() as directory:
        base = given.base or small(Path(directory))
        Path(directory).chmod(0o755)
        with serving(base.resolve()) as running:
            running.wait_for_ping(200)
            throughput = saturate(running.port, photos, seconds=15)
            rate = given.rate or given.share * throughput
            samples = soak(running, photos, rate, given.minutes * 60)
            found = conclude(samples)
    contents = {
        "command": f"python -m benchmarks.soak --minutes {given.minutes:g}"
        + (f" --rate {given.rate:g}" if given.rate else f" --share {given.share:g}")
        + (" --base …" if given.base else "")
        + (" --photos …" if given.photos else ""),
        "machine": this_machine(),
        "network": "the bundle in --base" if given.base else "resnet18, pictures of 64 x 64",
        "throughput measured first, requests/s": round(throughput, 1),
        "asked for, requests/s": round(rate, 1),
        **found,
        "samples": samples,
    }
    given.out.write_text(json.dumps(contents, indent=1) + "\n")
    print(json.dumps({k: v for k, v in contents.items() if k != "samples"}, indent=1))
    return int(bool(found["errors"]))


def post(port: int, photo: bytes) -> bool:
    headers = {"Content-Type": "image/jpeg"}
    return ask(port, "POST", "/invocations", photo, headers)[0] == 200


def saturate(port: int, photos: list[bytes], seconds: float) -> float:
    """Return requests a second with as many clients as can be."""
    end = time.monotonic() + seconds

    def client(seed: int) -> int:
        done = 0
        while time.monotonic() < end:
            done += post(port, photos[(seed + done) % len(photos)])
        return done

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(client, range(CLIENTS))) / seconds


def soak(
    running: Running, photos: list[bytes], rate: float, seconds: float
) -> list[dict[str, Any]]:
    """Send at an even pace; return a sample every few seconds."""
    begun = time.monotonic()
    turns = count()
    took: list[float] = []
    errors: list[float] = []
    late: list[float] = []

    def client() -> None:
        while True:
            turn = next(turns)
            due = begun + turn / rate
            if due > begun + seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            sent = time.monotonic()
            late.append(sent - due)
            if post(running.port, photos[turn % len(photos)]):
                took.append(time.monotonic() - sent)
            else:
                errors.append(time.monotonic() - sent)

    samples: list[dict[str, Any]] = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client) for _ in range(CLIENTS)]
        while time.monotonic() - begun < seconds or not all(one.done() for one in clients):
            time.sleep(SAMPLE_S)
            done = [took.pop() for _ in range(len(took))]
            samples.append(
                {
                    "at_s": round(time.monotonic() - begun, 1),
                    "answered": len(done),
                    "errors": len([errors.pop() for _ in range(len(errors))]),
                    "p50_ms": round(1000 * statistics.median(done), 2) if done else None,
                    "max_ms": round(1000 * max(done), 2) if done else None,
                    "late_ms": round(1000 * max([late.pop() for _ in range(len(late))] or [0])),
                    **memory_mb(running),
                    "ping": ask(running.port, "GET", "/ping", None, {})[0],
                    "machine_load": round(os.getloadavg()[0], 1),
                }
            )
    return samples


def memory_mb(running: Running) -> dict[str, int]:
    """Return the resident MB of all processes, of the workers and of Java."""
    parts = {
        "memory_mb": [one for one in family(running) if one.is_running()],
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

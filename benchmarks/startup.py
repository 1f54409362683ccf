"""How long `kennel --help` takes to start, beside `python -c pass` on the same machine.

The two take turns, so that a machine that is busy is busy for both:

    python benchmarks/startup.py [--rounds 30] [--out benchmarks/results/startup.json]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "kennel": [str(Path(sys.executable).with_name("kennel")), "--help"],
}
# What `kennel --help` may take more than `python -c pass`, in seconds.
ALLOWED_S = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/startup.json"))
    given = parser.parse_args()
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(given.rounds + 1):
        for name, command in COMMANDS.items():
            seconds = once(command)
            if turn:  # the first fills the disk's cache
                took[name].append(seconds)
    more = [one - base for one, base in zip(took["kennel"], took["python"], strict=True)]
    ratios = [one / base for one, base in zip(took["kennel"], took["python"], strict=True)]
    found = {
        "rounds": given.rounds,
        "python_s": summary(took["python"]),
        "kennel_s": summary(took["kennel"]),
        "more_s": summary(more),
        "ratio": summary(ratios),
        "allowed_more_s": ALLOWED_S,
        "machine": f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 2),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    return int(statistics.median(more) > ALLOWED_S)


def once(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def summary(values: list[float]) -> dict[str, float]:
    tenths = statistics.quantiles(values, n=10)
    return {
        "median": round(statistics.median(values), 3),
        "p10": round(tenths[0], 3),
        "p90": round(tenths[-1], 3),
    }


if __name__ == "__main__":
    sys.exit(main())

"""How long `kennel --help` takes, compared with `python -c pass`.

The two take turns, so that other load on the machine slows both alike.

    python -m benchmarks.startup [--rounds 30] [--out benchmarks/results/startup.json]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write

COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "kennel": [str(Path(sys.executable).with_name("kennel")), "--help"],
}
# How many seconds longer than `python -c pass` `kennel --help` can take.
ALLOWED_S = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULTS / "startup.json")
    options = parser.parse_args()
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(options.rounds + 1):
        for name, command in COMMANDS.items():
            seconds = once(command)
            if turn:  # the first fills the disk's cache
                took[name].append(seconds)
    more = [one - base for one, base in zip(took["kennel"], took["python"], strict=True)]
    ratios = [one / base for one, base in zip(took["kennel"], took["python"], strict=True)]
    found = {
        "rounds": options.rounds,
        "python_s": spread(took["python"]),
        "kennel_s": spread(took["kennel"]),
        "more_s": spread(more),
        "ratio": spread(ratios),
        "allowed_more_s": ALLOWED_S,
        "machine": this_machine(),
        "load": machine_load(),
    }
    write(options.out, found)
    print(json.dumps(found, indent=2))
    return int(statistics.median(more) > ALLOWED_S)


def once(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())

"""What the rules cost a running job: microseconds of a core for each record they receive.

Rounds with all rules and with none take turns; the difference counts.

    python -m benchmarks.rules [--rounds 20] [--out benchmarks/results/rules.json]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import RESULTS, spread, this_machine, write
from debugger import rules
from debugger.records import (
    ACTIVATIONS,
    GRADIENTS,
    STEP_PHASES,
    WEIGHTS,
    Record,
    Span,
    Start,
    Statistics,
    Step,
    System,
    Tensors,
)
from debugger.rules.live import Live

LAYERS = 161  # ResNet50's parameters
STEPS = 1000
# The limit for a step: a thousandth of one that takes 100 ms.
ALLOWED_US = 100.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS / "rules.json")
    options = parser.parse_args()
    streams = {"step": steps(), "tensors": tensors(), "system": system()}
    took: dict[str, list[float]] = {name: [] for name in streams}
    for turn in range(options.rounds + 1):
        for name, stream in streams.items():
            without, cost = microseconds([], stream), microseconds(rules.make({}), stream)
            if turn:  # the first loads numpy
                took[name].append(cost - without)
    found = {
        "rounds": options.rounds,
        "microseconds_a_record": {name: spread(costs) for name, costs in took.items()},
        "layers": LAYERS,
        "machine": this_machine(),
    }
    write(options.out, found)
    print(json.dumps(found, indent=2))
    return int(statistics.median(took["step"]) > ALLOWED_US)


def microseconds(made: list[rules.Rule], stream: Sequence[Record]) -> float:
    """Return the processor time of a record, in microseconds."""
    live = Live(made)
    live.feed(Start(0.0, "job", 1, 0.0, {"workers": 2, "cores": 2, "batch_size": 64}))
    began = time.process_time()
    for record in stream:
        live.feed(record)
    return 1e6 * (time.process_time() - began) / len(stream)


def steps() -> list[Record]:
    return [
        Step(
            *(number + 1.0, "train", number, 0, float(number)),
            tuple(Span(name, number + at / 5, 0.2) for at, name in enumerate(STEP_PHASES)),
            *(64, 5.0 / (1 + number)),
        )
        for number in range(STEPS)
    ]


def tensors() -> list[Record]:
    made: list[Record] = []
    for number in range(STEPS // 50):
        values = {
            f"layer{layer}.weight": Statistics(
                *(0.0, 0.1, -1.0, 1.0 + number, 5.0, 0.05, 0.0, 0.0, 4096), change=1e-3
            )
            for layer in range(LAYERS)
        }
        made += [
            Tensors(50.0 * number, "train", 50 * number, collection, values)
            for collection in (WEIGHTS, GRADIENTS, ACTIVATIONS)
        ]
    return made


def system() -> list[Record]:
    names = "cpu iowait memory process_memory disk_read gpu/0 gpu_memory/0".split()
    return [System(number / 2, dict.fromkeys(names, 80.0)) for number in range(STEPS)]


if __name__ == "__main__":
    sys.exit(main())

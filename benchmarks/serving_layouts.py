r"""What it is worth that weights are laid out for few pictures too, and not for full batches alone.

Forward passes on a processor, the two networks in turns, for each architecture and batch size; and
what the further layouts take of memory. Weights are drawn: their values do not matter.

    OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=5000 python -m benchmarks.serving_layouts
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

from benchmarks.servers import this_machine
from benchmarks.serving import spread
from classifier import fusion, inference, networks
from serve import machine
from serve.predictor import batch_sizes, choose_precisions

ARCHITECTURES = (
    "resnet50 resnet18 wide_resnet50_2 regnet_y_1_6gf efficientnet_b0 densenet121".split()
)
CPU = torch.device("cpu")
SIDE = 224


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", nargs="+", default=ARCHITECTURES)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serving-layouts.json"))
    given = parser.parse_args()
    layout = machine.layout(machine.cores(), 0, machine.memory_mb())
    torch.set_num_threads(layout.threads)
    precision = choose_precisions("auto", CPU)[0]
    found = {}
    for architecture in given.architectures:
        found[architecture] = compare(architecture, layout.batch_size, precision, given.rounds)
        print(architecture, json.dumps(found[architecture]), flush=True)
    contents = {
        "command": f"python -m benchmarks.serving_layouts --rounds {given.rounds}",
        "machine": this_machine(),
        "precision": str(precision),
        "threads": layout.threads,
        "laid out for": batch_sizes(layout.batch_size),
        "seconds, with these / with the largest alone": found,
    }
    given.out.write_text(json.dumps(contents, indent=1) + "\n")
    return 0


def compare(architecture: str, most: int, precision: torch.dtype, rounds: int) -> dict[str, object]:
    """Return the ratio of seconds for each batch size, and that of memory."""
    torch.manual_seed(0)
    network = networks.build(architecture, 133).eval()
    few, many = (
        inference.prepare(network, CPU, precision, side=SIDE, batch_sizes=sizes)
        for sizes in (batch_sizes(most), [most])
    )
    ratios: dict[str, object] = {}
    for size in (1, 2, 3, most):
        batch = torch.randn(size, 3, SIDE, SIDE).to(precision, memory_format=torch.channels_last)
        turns = []
        for turn in range(rounds + 1):
            pair = (few, many) if turn % 2 else (many, few)
            seconds = {id(one): passing(one, batch) for one in pair}
            turns.append(seconds[id(few)] / seconds[id(many)])
        ratios[f"{size} pictures"] = spread(turns[1:])  # the first is for warming up
    ratios["memory of convolutions' weights"] = round(weights(few) / weights(many), 2)
    return ratios


def passing(network: nn.Module, batch: torch.Tensor) -> float:
    """Return the seconds of a pass, the least of three."""
    seconds = []
    with torch.inference_mode():
        for _ in range(3):
            begun = time.perf_counter()
            network(batch)
            seconds.append(time.perf_counter() - begun)
    return min(seconds)


def weights(network: nn.Module) -> int:
    """Return how many weights its convolutions keep, each layout counted."""
    return sum(
        buffer.numel()
        for module in network.modules()
        if isinstance(module, fusion.Convolution)
        for name, buffer in module.named_buffers()
        if name != "bias"
    )


if __name__ == "__main__":
    sys.exit(main())

"""How fast a frozen backbone computes its features, before and after OpenVINO, and a whole job.

`before` is a checkout of an earlier commit, whose convolutions were oneDNN's with private operators
of torch; `torch` is batch norm folded, what remains where OpenVINO does not compute. Each side is a
process of its own, and they take turns: a batch each, so that other load slows all alike.

`--job` measures the head of a network on photos of dogs instead: from the start of the process to
the bundle, with one view of each picture and without exports.

    python -m benchmarks.features --before CHECKOUT [--architecture resnet50] [--rounds 7]
        [--job PHOTOS] [--out benchmarks/results/features.json]
"""

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write
from benchmarks.training import REAL, choose
from classifier import processor

HERE = Path(__file__).parents[1]
ENGINES = ("before", "torch", "openvino")

# Runs in either checkout. Its first answer is the time to prepare the backbone; then each line of
# stdin is answered with the time of a batch.
SETTING = """
import sys, time
from pathlib import Path
import torch
from pictures import channels
from train import loop
from train.batches.order import LEAST_BATCH
from train.config import TrainConfig
from train.features import features
from train.platform.environment import Job
from train.platform.stop import Stop
from train.recording.hooks import Hooks
from train.state.setup import set_up

side, photos, root, architecture, precision, weights = sys.argv[1:]
root = Path(root)
if side != "before":
    from train.features import backbone
    backbone._WORTH_CONVERTING = 0 if side == "openvino" else float("inf")
job = Job({}, {}, root / "model", root / "output", root / "failure", root / "config", None)
splits = channels.find({"data": Path(photos)}, split_seed=0, valid_fraction=0.1, test_fraction=0)
config = TrainConfig(
    architecture=architecture, weights=weights, trainable="head", precision=precision, epochs=3,
    feature_views=1, export="none",
)
"""
BATCHES = """
run, network = set_up(config, splits, job, Stop(), Hooks())
began = time.perf_counter()
found = features.choose(run, network)
took = time.perf_counter() - began
compute = found._features if side == "before" else found._backbone.features
draw = torch.Generator().manual_seed(0)
images = torch.randn(LEAST_BATCH, 3, run.transform.crop, run.transform.crop, generator=draw)
images = images.to(memory_format=torch.channels_last)
compute(images)
print("answer", took, flush=True)
for line in sys.stdin:
    began = time.perf_counter()
    compute(images)
    print("answer", time.perf_counter() - began, flush=True)
"""
JOB = """
loop.train(config, splits, job, Stop(), Hooks())
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of before")
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--job", type=int, default=0, help="photos of a whole job")
    parser.add_argument("--out", type=Path, default=RESULTS / "features.json")
    options = parser.parse_args()
    precisions = ["fp32", "bf16"] if processor.computes_bf16() else ["fp32"]
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        choose(photos, options.job or 40)
        measure = jobs if options.job else batches
        found = {one: measure(options, photos, Path(folder), one) for one in precisions}
    contents = {
        "command": shlex.join(["python", "-m", "benchmarks.features", *sys.argv[1:]]),
        "architecture": options.architecture,
        **found,
        "machine": this_machine(),
        "load": machine_load(),
    }
    write(options.out, contents)
    print(json.dumps(contents, indent=1))
    return 0


def batches(
    options: argparse.Namespace, photos: Path, root: Path, precision: str
) -> dict[str, Any]:
    """Return the rates of all engines, their ratios, and the seconds to prepare the network."""
    sides: dict[str, subprocess.Popen[str]] = {}
    prepared = {}
    with contextlib.ExitStack() as stack:
        for name in ENGINES:
            child = start(BATCHES, name, options, photos, root, precision)
            sides[name] = stack.enter_context(answering(child))
            prepared[name] = round(answer(child), 2)
        turns = [{name: ask(child) for name, child in sides.items()} for _ in range(options.rounds)]
    return {
        "pictures/s": {name: spread([64 / turn[name] for turn in turns]) for name in sides},
        "times before": {
            name: spread([turn["before"] / turn[name] for turn in turns]) for name in sides
        },
        "seconds to prepare": prepared,
    }


@contextlib.contextmanager
def answering(child: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """Yield a side that answers, and end it."""
    with child:
        yield child
        child.communicate()


def ask(child: "subprocess.Popen[str]") -> float:
    """Let a side compute a batch, and return the seconds."""
    assert child.stdin
    child.stdin.write("\n")
    child.stdin.flush()
    return answer(child)


def answer(child: "subprocess.Popen[str]") -> float:
    """Return the next answer among the lines of the log."""
    assert child.stdout
    for line in child.stdout:
        if line.startswith("answer "):
            return float(line.split()[1])
    raise RuntimeError("a side ended, see its errors above")


def jobs(options: argparse.Namespace, photos: Path, root: Path, precision: str) -> dict[str, Any]:
    """Return the seconds of whole jobs, in turns, and the ratio."""
    turns = []
    for _ in range(options.rounds):
        turn = {}
        for name in ("before", "openvino"):
            began = time.perf_counter()
            child = start(JOB, name, options, photos, root / name, precision)
            child.communicate()
            assert child.returncode == 0
            turn[name] = time.perf_counter() - began
        turns.append(turn)
    return {
        "photos": options.job,
        "seconds": {name: spread([turn[name] for turn in turns]) for name in turns[0]},
        "times before": spread([turn["before"] / turn["openvino"] for turn in turns]),
    }


def start(
    script: str,
    side: str,
    options: argparse.Namespace,
    photos: Path,
    root: Path,
    precision: str,
) -> "subprocess.Popen[str]":
    """Start a side in its checkout."""
    weights = REAL / "weights" / f"{options.architecture}-imagenet-fp16.pth"
    given = [side, str(photos), str(root), options.architecture, precision, str(weights)]
    checkout = options.before.absolute() if side == "before" else HERE
    env = {name: value for name, value in os.environ.items() if name != "KENNEL_FEATURES"}
    return subprocess.Popen(
        [sys.executable, "-c", SETTING + script, *given],
        cwd=checkout,
        env=env | {"PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""Endless recordings, which recording/test_hooks_kills.py kills in a process of their own."""

import itertools
from pathlib import Path

import torch

from debugger.records import Span, Start, Statistics, Step, Tensors
from tests.train.recorded import Recorded
from train.recording.sink import Sink

STATISTICS = Statistics(0.1, 0.2, -1.0, 1.0, 2.0, 0.1, 0.0, 0.0, 100)
LAYERS = {f"layer{number}.weight": STATISTICS for number in range(100)}


def write(folder: Path) -> None:
    """Record steps and tensors without end, as fast as the disk allows."""
    sink = Sink(folder, "algo-1", 0, lambda: 0.0)
    sink.open(Start(0.0, "job", 1, 0.0, {}))
    for step in itertools.count():
        at = float(step)
        sink.write(Step(at + 1, "train", step, 0, at, (Span("forward", at, 0.5),), 32, 0.1))
        sink.write(Tensors(at + 1, "train", step, "weights", LAYERS))


def train(root: Path, digits: Path) -> None:
    """Run a training job that takes hours."""
    torch.set_num_threads(1)
    job = Recorded.lay_out(
        root, digits, epochs=10_000, debugger_interval=3, debugger_raw="classifier"
    )
    job.run()

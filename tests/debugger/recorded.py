"""A synthetic recording with known times and problems, for the tests of the report."""

import base64
import dataclasses
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
from PIL import Image

from debugger import records
from debugger.recording import Writer
from debugger.records import (
    Confusion,
    End,
    Mistake,
    Operator,
    Operators,
    Phase,
    Record,
    Scalar,
    Span,
    Start,
    Statistics,
    Step,
    System,
    Tensors,
)

START = 1_700_000_000.0
PARTS = "conv1 bn1 conv2 bn2 conv3 bn3 downsample.0 downsample.1 relu se".split()
LAYERS = [
    "conv1.weight",
    *(
        f"layer{stage}.{block}.{part}.weight"
        for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3))
        for block in range(blocks)
        for part in PARTS
    ),
    "fc.weight",
]
OPERATORS = (
    "convolution_backward cudnn_convolution batch_norm_backward batch_norm add_ relu_ "
    "threshold_backward max_pool2d addmm copy_ _foreach_add_ mul_ mean div_ nll_loss"
).split()
BREEDS = [f"{'Long-haired Small'.split()[i % 2]} Hound {i:03d}" for i in range(133)]
# Duration of the phases of a normal step, in seconds.
USUAL = {"data_wait": 0.04, "copy": 0.01, "forward": 0.09, "backward": 0.16, "optimizer": 0.03}


def _photo() -> str:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((96, 72)).save(out, "JPEG", quality=75)
    return base64.b64encode(out.getvalue()).decode()


PHOTO = _photo()


class Source(TypedDict):
    """The process that writes a record."""

    host: str
    rank: int


@dataclass(frozen=True)
class Made:
    """Describes a synthetic job; by default 4,000 s, 10,000 steps and 161 layers."""

    steps: int = 10_000
    epochs: int = 5
    initialisation: float = 73.0
    finalisation: float = 1.2
    evaluation: float = 45.0  # of each epoch
    checkpoint: float = 9.0  # of each epoch
    between: float = 0.03  # between steps, in no phase
    slow_every: int = 500  # every 500th step waits for data
    slow: float = 4.0
    layers: int = 161
    tensors_every: int = 50
    samples_every: float = 0.5
    gpu: bool = True
    cpu: float | None = None  # percent; by default about 65
    instance_type: str = ""
    classes: tuple[str, ...] = tuple(BREEDS)
    job: str = "dogs-2026-05-07-16-43-51"
    ends: bool = True
    photos: bool = False  # two wrongly answered pictures of each pair, up to 60

    def records(self, host: str = "algo-1", rank: int = 0) -> Iterator[Record]:
        """Yield the job's records by time."""
        return iter(sorted(self._unordered(host, rank), key=lambda record: record.at))

    def write(self, recording: Path, host: str = "algo-1", rank: int = 0) -> Path:
        """Write the records as a job does; return the recording."""
        with Writer(recording, host, rank) as writer:
            for record in self.records(host, rank):
                writer.write(record)
        return recording

    def _unordered(self, host: str, rank: int) -> Iterator[Record]:
        random = np.random.default_rng(rank)
        source: Source = {"host": host, "rank": rank}
        now = START + self.initialisation
        yield Start(START + 8, self.job, 1, START, self._facts(), **source)
        yield Phase(now, records.INITIALISATION, START, 0, **source)
        slow: list[float] = []
        each = self.steps // self.epochs
        for epoch in range(self.epochs):
            for step in range(epoch * each, (epoch + 1) * each):
                now += self.between
                made = self._step(now, step, epoch, random, source)
                if made.seconds > self.slow:
                    slow.append(made.start)
                yield made
                now = made.at
                if step % self.tensors_every == 0:
                    yield from self._tensors(now, step, random, source)
            if epoch == 0:
                yield from _operators(now, source)
            yield Phase(now + self.evaluation, records.EVALUATION, now, step, **source)
            now += self.evaluation
            yield from self._metrics(now, step, epoch, source)
            yield self._confusion(now, step, epoch, source)
            yield Phase(now + self.checkpoint, records.CHECKPOINT, now, step, **source)
            now += self.checkpoint
        if rank == 0:
            yield from self._system(now, slow, random, source)
        if self.photos:
            yield from self._mistakes(now, step, source)
        if self.ends:
            ended = now - self.checkpoint + self.finalisation
            yield End(max(ended, now), "completed", **source)

    def _facts(self) -> dict[str, object]:
        return {
            "architecture": "resnet50",
            "device": "NVIDIA A10G" if self.gpu else "cpu",
            "precision": "bf16",
            **({"instance_type": self.instance_type} if self.instance_type else {}),
            "batch_size": 64,
            "workers": 2,
            "cores": 8,
            "classes": len(self.classes),
            "class_names": list(self.classes),
            "hyperparameters": {"learning_rate": 0.01, "epochs": self.epochs, "optimizer": "sgd"},
            "versions": {"torch": "2.15.0", "kennel": "0.1.0", "python": "3.11.9"},
        }

    def _step(
        self, start: float, step: int, epoch: int, random: np.random.Generator, source: Source
    ) -> Step:
        took = {name: item * float(random.lognormal(0, 0.08)) for name, item in USUAL.items()}
        if step % self.slow_every == self.slow_every - 1:
            took["data_wait"] += self.slow
        spans, at = [], start
        for name, item in took.items():
            spans.append(Span(name, at, item))
            at += item
        loss = 4.9 * float(np.exp(-3.0 * step / self.steps)) + 0.25 * float(random.random())
        return Step(at, "train", step, epoch, start, tuple(spans), 64, loss, **source)

    def _tensors(
        self, at: float, step: int, random: np.random.Generator, source: Source
    ) -> Iterator[Record]:
        names = [
            LAYERS[i % len(LAYERS)] + ("" if i < len(LAYERS) else ".b") for i in range(self.layers)
        ]
        depth = np.linspace(0, 1, len(names))
        l2 = 10 ** (
            -3.5 + 2.5 * depth + 0.3 * random.standard_normal(len(names)) - step / self.steps
        )
        change = 10 ** (-3 - step / self.steps + 0.2 * random.standard_normal(len(names)))
        yield Tensors(at, "train", step, records.GRADIENTS, {
            name: _statistics(float(l2[i]), zeros=0.02 + (0.4 if "layer2.1" in name else 0))
            for i, name in enumerate(names)
        }, **source)  # fmt: skip
        yield Tensors(at, "train", step, records.WEIGHTS, {
            name: _statistics(20.0, change=float(change[i])) for i, name in enumerate(names)
        }, **source)  # fmt: skip
        relus = [name for name in LAYERS if ".relu" in name]
        dead = np.clip(0.1 + 0.7 * step / self.steps * (np.arange(len(relus)) == 5), 0, 1)
        l2 = 30 + random.random(len(relus))
        yield Tensors(at, "train", step, records.ACTIVATIONS, {
            name: _statistics(float(l2[i]), dead=float(dead[i]), zeros=0.5)
            for i, name in enumerate(relus)
        }, **source)  # fmt: skip

    def _metrics(self, at: float, step: int, epoch: int, source: Source) -> Iterator[Record]:
        done = (epoch + 1) / self.epochs
        figures = {
            "train:loss": 4.9 - 4.2 * done,
            "train:accuracy": 0.9 * done,
            "train:learning_rate": 0.01 * (1 - done),
            "validation:loss": 4.7 - 3.6 * done + (0.4 if epoch == self.epochs - 1 else 0),
            "validation:accuracy": 0.84 * done ** 0.5,
            "validation:top5_accuracy": 0.97 * done**0.3,
        }  # fmt: skip
        for name, value in figures.items():
            yield Scalar(at, name, step, epoch, value, **source)

    def _confusion(self, at: float, step: int, epoch: int, source: Source) -> Record:
        many = len(self.classes)
        right = [(i, i, 6) for i in range(many)]
        wrong = [(i, (i * 7 + 3) % many, 1 + i % 3) for i in range(many) if (i * 7 + 3) % many != i]
        return Confusion(at, "eval", step, epoch, many, (*right, *wrong), **source)

    def _mistakes(self, at: float, step: int, source: Source) -> Iterator[Record]:
        made = self._confusion(at, step, self.epochs - 1, source)
        assert isinstance(made, Confusion)
        yield dataclasses.replace(made, split="test")
        wrong = sorted((c for c in made.counts if c[0] != c[1]), key=lambda c: -c[2])
        for truth, answer, _ in wrong[:30]:
            for number in (1, 2):
                name = f"{truth}/{number}.jpg"
                yield Mistake(at, "test", name, truth, answer, 0.9 / number, PHOTO, **source)

    def _system(
        self, until: float, slow: list[float], random: np.random.Generator, source: Source
    ) -> Iterator[Record]:
        at = np.arange(START + 8.5, until, self.samples_every)
        starved = np.zeros(at.size, bool)
        for start in slow:
            starved |= (at > start) & (at < start + self.slow)
        noise = random.random((6, at.size))
        for i, item in enumerate(at):
            values = {
                "cpu": self.cpu or (12 + 8 * noise[0, i] if starved[i] else 55 + 20 * noise[0, i]),
                "iowait": 60 + 20 * noise[1, i] if starved[i] else 3 * noise[1, i],
                "memory": 38 + 4 * noise[2, i],
                "process_memory": 6.1e9 + 2e8 * noise[2, i],
                "disk_read": 9e7 if starved[i] else 2e6 * noise[3, i],
                "disk_written": 1e6 * noise[4, i],
                "network_received": 3e6 * noise[5, i],
                "network_sent": 4e5 * noise[5, i],
            }
            if self.gpu:
                values["gpu/0"] = 0.0 if starved[i] else 70 + 25 * noise[1, i]
                values["gpu_memory/0"] = 61.0
            yield System(float(item), {name: float(v) for name, v in values.items()}, **source)


def _statistics(
    l2: float, *, zeros: float = 0.0, change: float | None = None, dead: float | None = None
) -> Statistics:
    return Statistics(0.0, 0.02, -0.2, 0.2, l2, 0.01, zeros, 0.0, 36_864, change, dead)


def _operators(at: float, source: Source) -> Iterator[Record]:
    devices: tuple[Literal["cpu", "gpu"], ...] = ("cpu", "gpu")
    for device in devices:
        rows = tuple(
            Operator(f"aten::{name}", 159 - 7 * i, 0.41 / (i + 1) ** 1.4, 0.5 / (i + 1) ** 1.2)
            for i, name in enumerate(OPERATORS)
        )
        yield Operators(at, device, 10, 3, 1.0, rows, **source)

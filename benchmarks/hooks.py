"""What recording costs a training step: ResNet50, steps with hooks and without them in turns.

In each round every variant takes a recorded step and a plain one on the same batch. A recorded step
costs more and occurs every `interval` steps: its share is added to the plain step. On a CPU the
clock is the process's CPU time on one thread, which other load on the machine does not change; on a
GPU, where steps are bf16, it is wall-clock time.

    python -m benchmarks.hooks [--rounds 12] [--batch 8] [--size 160] [--out …/hooks-cpu.json]
"""

import argparse
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch
from torch import nn

from benchmarks.measuring import RESULTS, machine_load, this_machine, write
from debugger.records import BACKWARD, COPY, FORWARD, OPTIMIZER
from pictures.picture import Picture, Splits
from train.batches.batch import Batch
from train.config import TrainConfig
from train.platform.environment import Job
from train.platform.stop import Stop
from train.recording import recorder, smdebug
from train.recording.hooks import Hooks
from train.recording.system import Host
from train.state.run import Run
from train.state.setup import set_up

OFF, DEFAULT, REDUCTIONS, SMDEBUG = "off", "default", "weights+gradients", "smdebug's default"
INTERVAL = {DEFAULT: 50, REDUCTIONS: 100, SMDEBUG: 500}
ALLOWED = {DEFAULT: 1.02, REDUCTIONS: 1.05}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128 if torch.cuda.is_available() else 8)
    parser.add_argument("--size", type=int, default=224 if torch.cuda.is_available() else 160)
    parser.add_argument(
        "--seconds", type=float, default=300, help="start no new round after this time"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "hooks-cpu.json")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    batch = Batch(
        torch.randn(options.batch, 3, options.size, options.size), torch.arange(options.batch)
    )
    plain: dict[str, list[float]] = {}
    recorded: dict[str, list[float]] = {}
    began = time.monotonic()
    with contextlib.ExitStack() as everything:
        folder = Path(everything.enter_context(tempfile.TemporaryDirectory()))
        variants = {
            name: everything.enter_context(variant(name, folder / str(number), options.size))
            for number, name in enumerate((OFF, DEFAULT, REDUCTIONS, SMDEBUG))
        }
        rounds = 0
        for turn in range(options.rounds + 1):
            for name, one in variants.items():
                took = one.step(batch, 1000 * turn), one.step(batch, 1000 * turn + 1)
                if turn:  # the first warms up
                    recorded.setdefault(name, []).append(took[0])
                    plain.setdefault(name, []).append(took[1])
            rounds = turn
            if time.monotonic() - began > options.seconds:
                break
        marks = {
            name: one.marks(batch) - variants[OFF].marks(batch) for name, one in variants.items()
        }
    found = {
        "command": " ".join(["python -m benchmarks.hooks", *sys.argv[1:]]),
        "rounds": rounds,
        "batch": options.batch,
        "size": options.size,
        "step_ms": round(1e3 * statistics.median(plain[OFF]), 1),
        "variants": {
            name: {
                "marks_ms": round(1e3 * marks[name], 3),
                "by_parts": by_parts(plain, recorded, name, marks[name]),
                **ratios(plain, recorded, name),
            }
            for name in INTERVAL
        },
        "system_sample_ms": sample_ms(),
        "smdebug": "its own default configuration, which records losses every 500 steps",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "machine": this_machine(),
        "load": machine_load(),
    }
    write(options.out, found)
    print(json.dumps(found, indent=1))
    return int(any(found["variants"][name]["by_parts"] > most for name, most in ALLOWED.items()))


class Variant:
    """A network and its hooks."""

    def __init__(self, run: Run, network: nn.Module, hooks: Hooks) -> None:
        self.run, self.network, self.hooks = run, network.train(), hooks
        self.optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9)
        self.criterion = nn.CrossEntropyLoss()
        self._clock = time.perf_counter if run.device.type == "cuda" else time.process_time

    def step(self, batch: Batch, number: int) -> float:
        """Take a step as the loop does; return its seconds, with writing the record."""
        self._wait()
        began = self._clock()
        for step, one in self.hooks.steps("train", [batch], 0, number):
            with step.phase(COPY):
                images = one.images.to(self.run.device, memory_format=torch.channels_last)
                labels = one.labels.to(self.run.device)
            with step.phase(FORWARD), self.run.autocast():
                logits = self.network(images)
                loss = self.criterion(logits.float(), labels)
            with step.phase(BACKWARD):
                loss.backward()
            with step.phase(OPTIMIZER):
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
            step.result(loss, labels, logits.argmax(1))
        self._wait()
        return self._clock() - began

    def marks(self, batch: Batch, steps: int = 200) -> float:
        """Return the seconds of a step that computes nothing: the cost of the hooks alone."""
        loss, labels = torch.zeros(()), batch.labels
        began = self._clock()
        for step, _ in self.hooks.steps("train", itertools.repeat(batch, steps), 0, 1_000_001):
            for phase in (COPY, FORWARD, BACKWARD, OPTIMIZER):
                with step.phase(phase):
                    pass
            step.result(loss, labels, labels)
        return (self._clock() - began) / steps

    def _wait(self) -> None:
        if self.run.device.type == "cuda":
            torch.cuda.synchronize()


@contextlib.contextmanager
def variant(name: str, folder: Path, size: int) -> Iterator[Variant]:
    """Make the hooks of a variant; the steps 0, 1000, 2000, … are recorded."""
    for part in ("output", "config"):
        (folder / part).mkdir(parents=True)
    job = Job(
        channels={},
        hyperparameters={},
        model_dir=folder,
        output_dir=folder / "output",
        failure_file=folder / "failure",
        config_dir=folder / "config",
        checkpoints=None,
    )
    on = name in (DEFAULT, REDUCTIONS)
    collections = {REDUCTIONS: "losses,weights,gradients"}.get(name)
    config = TrainConfig(
        weights="none",
        trainable="all",
        image_size=size,
        workers=0,
        debugger=on,
        debugger_interval=1000,
        profiler=False,  # its sampler would run in the other variants' turns too: see sample_ms
        **({"debugger_collections": collections} if collections else {}),
    )
    pictures = tuple(Picture(Path("none"), number) for number in range(10))
    names = tuple(str(number) for number in range(1000))
    splits = Splits(names, names, pictures, (), (), ())
    stop = Stop()
    hooks = recorder.start(config, job, stop)
    if name == SMDEBUG:
        asked = {"LocalPath": str(folder / "tensors"), "S3OutputPath": "s3://none/"}
        hooks = smdebug.Smdebug(hooks, asked, folder, config.debugger_interval)
    with hooks:
        run, network = set_up(config, splits, job, stop, hooks)
        yield Variant(run, network, hooks)


def ratios(
    plain: dict[str, list[float]], recorded: dict[str, list[float]], name: str
) -> dict[str, object]:
    """Compare a variant with the steps without hooks of the same rounds."""
    interval = INTERVAL[name]
    plain_ratio = [a / b for a, b in zip(plain[name], plain[OFF], strict=True)]
    recorded_ratio = [a / b for a, b in zip(recorded[name], recorded[OFF], strict=True)]
    total = [a + (b - a) / interval for a, b in zip(plain_ratio, recorded_ratio, strict=True)]
    return {
        "interval": interval,
        "plain_step": quartiles(plain_ratio),
        "recorded_step": quartiles(recorded_ratio),
        "every_step": quartiles(total),
    }


def by_parts(
    plain: dict[str, list[float]], recorded: dict[str, list[float]], name: str, marks: float
) -> float:
    """Return the ratio, computed from the hooks' own cost and the extra cost of a recorded step.

    Other load on the machine hides a difference this small in the pairs of plain steps.
    """
    more = statistics.median(a - b for a, b in zip(recorded[name], plain[name], strict=True))
    step = statistics.median(plain[OFF])
    return round(1 + (marks + more / INTERVAL[name]) / step, 4)


def quartiles(values: list[float]) -> dict[str, float]:
    lower, middle, upper = statistics.quantiles(values, n=4)
    return {"median": round(middle, 4), "q1": round(lower, 4), "q3": round(upper, 4)}


def sample_ms() -> float:
    """Return the median of 50 samples of the host, in milliseconds."""
    host, took = Host(psutil.Process()), []
    for _ in range(50):
        began = time.perf_counter()
        host.sample()
        took.append(time.perf_counter() - began)
    return round(1e3 * statistics.median(took), 2)


if __name__ == "__main__":
    sys.exit(main())

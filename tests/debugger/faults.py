"""Small real trainings, healthy or with a planted fault, recorded by the hooks.

Hooks and recorder are those of a job; network, digits and loop are small. The clock of the recorder
is replaced: it advances a millisecond per mark, and by planted delays. So nothing sleeps, and the
findings do not depend on the load of the machine.
"""

import math
import mmap
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn

from classifier.transform import EvaluationTransform
from debugger import recording
from debugger.records import BACKWARD, EVALUATION, FORWARD, OPTIMIZER, Record
from pictures.picture import Picture, Splits
from train.batches.batch import Batch, Unreadable
from train.batches.order import Order
from train.config import TrainConfig
from train.learning.evaluate import evaluate
from train.platform.environment import Job
from train.platform.stop import Stop
from train.recording import recorder, timeline
from train.recording.hooks import Facts
from train.recording.settings import Settings
from train.state.run import Run

CLASSES = tuple(str(digit) for digit in range(10))


class Clock:
    """The time of a recording: advances a millisecond per mark, and by planted delays."""

    def __init__(self) -> None:
        self.now = time.time()
        self.sampled = threading.Event()

    def mark(self) -> float:
        """Return now."""
        if threading.current_thread() is threading.main_thread():
            self.now += 0.001
        else:  # a sample takes no time
            self.sampled.set()
        return self.now

    def wait(self, seconds: float) -> None:
        """Advance the time."""
        self.now += seconds


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return scikit-learn's digits: float32 [1797, 3, 8, 8], normalised, and labels [1797]."""
    from sklearn.datasets import load_digits

    given = load_digits()
    images = torch.tensor(given.images, dtype=torch.float32)[:, None].repeat(1, 3, 1, 1)
    return (images - images.mean()) / images.std(), torch.tensor(given.target)


def network(seed: int = 0) -> nn.Sequential:
    """Return two convolutions with batch norm and ReLU, and a head."""
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(3, 16, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(16),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
            bn2=nn.BatchNorm2d(32),
            relu2=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(2),
            flatten=nn.Flatten(),
            fc=nn.Linear(128, 10),
        )
    )


def bare(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return three convolutions without norms, and a head."""
    torch.manual_seed(0)
    layers = OrderedDict[str, nn.Module]()
    for number, (before, after) in enumerate(((3, 16), (16, 16), (16, 16)), start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, after, 3, padding=1)
        layers[f"act{number}"] = activation()
    layers["pool"], layers["flatten"] = nn.AdaptiveAvgPool2d(2), nn.Flatten()
    layers["fc"] = nn.Linear(64, 10)
    return nn.Sequential(layers)


def parameter(network: nn.Module, name: str) -> torch.Tensor:
    """Return the values of a parameter, to change them in place."""
    return network.get_parameter(name).data


@dataclass
class Training:
    """A healthy training; a fault changes a field, or does something at a step."""

    network: nn.Module = field(default_factory=network)
    images: torch.Tensor = field(default_factory=lambda: digits()[0][:400].clone())
    labels: torch.Tensor = field(default_factory=lambda: digits()[1][:400].clone())
    valid_images: torch.Tensor = field(default_factory=lambda: digits()[0][1000:1300].clone())
    valid_labels: torch.Tensor = field(default_factory=lambda: digits()[1][1000:1300].clone())
    epochs: int = 8
    rate: float = 0.05
    settings: dict[str, Any] = field(default_factory=dict)
    not_optimized: tuple[str, ...] = ()
    in_wait: Callable[[int], None] = lambda _: None  # called while the loop waits for a batch
    in_step: Callable[[int], None] = lambda _: None  # called in the forward pass
    in_loop: Callable[[], None] = lambda: None  # called after the steps of an epoch
    initialisation: float = 5.0
    sample_every: float = 0.5  # seconds of real time
    clock: Clock = field(default_factory=Clock)
    steps: int = 0

    def run(self, folder: Path) -> list[Record]:
        """Train, and return the records."""
        config = self.config()
        job = Job.from_environment(
            {
                "SAGEMAKER_BASE_DIR": str(folder),
                "SM_MODEL_DIR": str(folder / "model"),
                "SM_OUTPUT_DATA_DIR": str(folder / "output"),
            }
        )
        started = {"KENNEL_PROCESS_STARTED": str(self.clock.mark() - self.initialisation)}
        clock = mock.patch.object(timeline.HostClock, "mark", side_effect=self.clock.mark)
        with clock, mock.patch.dict("os.environ", started):
            settings = Settings.of(config, job)
            stop = Stop()
            with _Recorder(settings, job, stop, config.model_dump()) as hooks:
                self._train(self._run(config, job, stop, hooks))
        return list(recording.read(settings.folder))

    def config(self) -> TrainConfig:
        """Return its hyperparameters."""
        config = TrainConfig(
            epochs=self.epochs,
            batch_size=16,
            weights="none",
            trainable="all",
            schedule="constant",
            debugger_interval=5,
            profiler_steps="",
            **self.settings,
        )
        # Not validated: a fault can be a learning rate out of bounds.
        return config.model_copy(
            update={
                "learning_rate": self.rate,
                "backbone_learning_rate": self.rate,
                "profiler_interval": self.sample_every,
            }
        )

    def _run(self, config: TrainConfig, job: Job, stop: Stop, hooks: recorder.Recorder) -> Run:
        train = tuple(Picture(Path("digits"), int(label)) for label in self.labels)
        valid = tuple(Picture(Path("digits"), int(label)) for label in self.valid_labels)
        splits = Splits(CLASSES, CLASSES, train, valid)
        cpu, transform = torch.device("cpu"), EvaluationTransform(resize=8, crop=8)
        unreadable = Unreadable(config.max_unreadable, len(train) + len(valid))
        return Run(config, splits, job, stop, hooks, cpu, None, transform, 2, "none", unreadable)

    def _train(self, run: Run) -> None:
        """Train as train/loop.py does, with its hooks, on pictures in memory."""
        hooks = run.hooks
        facts = Facts(run.config.architecture, CLASSES, run.device, None, run.workers)
        hooks.watch(facts, self.network)
        named = dict(self.network.named_parameters())
        trained = [item for name, item in named.items() if name not in self.not_optimized]
        sgd = torch.optim.SGD(trained, lr=run.config.learning_rate, momentum=0.9, nesterov=True)
        order = Order(len(self.labels), run.config.batch_size, seed=0)
        for epoch in range(self.epochs):
            self.network.train()
            order.epoch, total = epoch, 0.0
            for step, batch in hooks.steps("train", self._batches(order), epoch, self.steps):
                with step.phase(FORWARD):
                    self.in_step(self.steps)
                    logits = self.network(batch.images)
                    loss = F.cross_entropy(logits, batch.labels)
                with step.phase(BACKWARD):
                    loss.backward()  # type: ignore[no-untyped-call]
                with step.phase(OPTIMIZER):
                    sgd.step()
                    self.network.zero_grad()
                step.result(loss, batch.labels, logits.argmax(1))
                total += loss.item() * len(batch.labels)
            self.in_loop()
            with hooks.phase(EVALUATION):
                scores = evaluate(
                    *(self.network, self._valid(), len(CLASSES), run.device),
                    *(run.autocast(), run.unreadable, hooks),
                )
            hooks.confusion(scores.confusion)
            losses = {"train:loss": total / len(self.labels), "validation:loss": scores.loss}
            hooks.metrics(losses, epoch + 1)
            if not math.isfinite(scores.loss):
                break

    def _batches(self, order: Order) -> Iterator[Batch]:
        for keys in order:
            self.in_wait(self.steps)
            chosen = [index for _, index in keys]
            yield Batch(self.images[chosen], self.labels[chosen])
            self.steps += 1

    def _valid(self) -> Iterator[Batch]:
        for begin in range(0, len(self.valid_labels), 100):
            part = slice(begin, begin + 100)
            yield Batch(self.valid_images[part], self.valid_labels[part])


class _Recorder(recorder.Recorder):
    """The recorder without the report at the end, which other tests check."""

    def _report(self, **_: object) -> None:
        pass


# ---- faults ---------------------------------------------------------------------------------


def huge_learning_rate(training: Training) -> None:
    training.rate, training.epochs = 100.0, 2


def exploding_loss(training: Training) -> None:
    training.network, training.rate, training.epochs = bare(nn.LeakyReLU), 100.0, 2


def tiny_learning_rate(training: Training) -> None:
    training.rate, training.epochs = 1e-12, 4


def zeroed_batch_norm(training: Training) -> None:
    training.epochs = 4
    for name in ("bn2.weight", "bn2.bias"):
        parameter(training.network, name).zero_()


def tiny_first_weights(training: Training) -> None:
    training.network, training.epochs = bare(), 4
    for name, item in training.network.named_parameters():
        if name.endswith("weight"):
            item.data.mul_(1e-2)


def saturated_sigmoids(training: Training) -> None:
    training.network, training.epochs = bare(nn.Sigmoid), 2
    parameter(training.network, "conv2.bias").fill_(-60.0)


def dead_relus(training: Training) -> None:
    training.network, training.epochs = bare(), 2
    parameter(training.network, "conv2.bias").fill_(-100.0)


def frozen_by_mistake(training: Training) -> None:
    training.not_optimized, training.epochs = ("conv1.weight",), 2


def shuffled_labels(training: Training) -> None:
    shuffle = torch.Generator().manual_seed(1)
    training.labels = training.labels[torch.randperm(400, generator=shuffle)]
    training.rate, training.epochs = 0.2, 12


def few_pictures_for_many_epochs(training: Training) -> None:
    training.images, training.labels = training.images[:64], training.labels[:64]
    training.epochs = 40


def unnormalised_pictures(training: Training) -> None:
    training.epochs = 7
    low, high = training.images.min(), training.images.max()
    training.images = (training.images - low) / (high - low)


def unbalanced_classes(training: Training) -> None:
    training.epochs = 2
    rare = (training.labels == 7).nonzero().flatten()[2:]
    keep = torch.ones(len(training.labels), dtype=torch.bool)
    keep[rare] = False
    training.images, training.labels = training.images[keep], training.labels[keep]


def swapped_classes(training: Training) -> None:
    training.epochs = 5
    swapped = training.labels.clone()
    swapped[training.labels == 3], swapped[training.labels == 5] = 5, 3
    training.labels = swapped


def other_seed(training: Training) -> None:
    training.network, training.epochs = network(seed=1), 1


def hanging_step(training: Training) -> None:
    training.epochs = 2
    training.in_step = lambda step: training.clock.wait(2000 if step == 30 else 0)


def slow_loader(training: Training) -> None:
    training.epochs, training.in_wait = 2, lambda _: training.clock.wait(0.05)


def sleeping_step_every_50(training: Training) -> None:
    training.epochs, training.settings = 24, {"debugger": False}
    training.in_step = lambda step: training.clock.wait(0.5 if step % 50 == 49 else 0)


def slow_start(training: Training) -> None:
    training.epochs, training.initialisation = 1, 25 * 60.0


def memory_leak(training: Training) -> None:
    training.sample_every = 0.05
    leaked: list[mmap.mmap] = []

    def leak(step: int) -> None:
        if step % 5 == 0:
            training.clock.sampled.clear()
            assert training.clock.sampled.wait(60)
        # Directly from the system: an allocator would reuse memory that earlier tests freed.
        leaked.append(mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        leaked[-1].write(bytes(2 << 20))

    training.in_step = leak


# Each fault with the rules that must find it; other rules can fire too.
FAULTS: dict[Callable[[Training], None], tuple[str, ...]] = {
    huge_learning_rate: ("WeightUpdateRatio", "TensorVariance"),
    exploding_loss: ("ExplodingTensor",),
    tiny_learning_rate: ("LossNotDecreasing", "WeightUpdateRatio", "UnchangedTensor"),
    zeroed_batch_norm: ("VanishingGradient", "AllZero"),
    tiny_first_weights: ("PoorWeightInitialization",),
    saturated_sigmoids: ("SaturatedActivation",),
    dead_relus: ("DeadRelu",),
    frozen_by_mistake: ("UnchangedTensor", "WeightUpdateRatio"),
    shuffled_labels: ("Overfit",),
    few_pictures_for_many_epochs: ("Overtraining",),
    unnormalised_pictures: ("CheckInputImages",),
    unbalanced_classes: ("ClassImbalance",),
    swapped_classes: ("Confusion",),
    other_seed: ("SimilarAcrossRuns",),
    hanging_step: ("StalledTraining",),
    slow_loader: ("Dataloader",),
    sleeping_step_every_50: ("StepOutlier",),
    slow_start: ("MaxInitializationTime",),
    memory_leak: ("MemoryIncrease",),
}

"""The calls with which the training loop reports what it does; they do nothing by default.

    with hooks:                                        # the job
        with hooks.phase(EVALUATION): …                # a phase of it
        for step, batch in hooks.steps("train", …):    # its steps; the wait for a batch is timed
            with step.phase(FORWARD): …                # a phase of a step
            step.result(loss, labels, answers)

The classes here do nothing and cost nothing: no thread, no file, no hook on any module. A recorded
job uses the subclasses in train/recording/recorder.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import torch
from torch import nn

from debugger.records import Mode
from train.batches.batch import Batch

_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True)
class Facts:
    """The facts of a job that are known once it is set up.

    `precision` is autocast's type, None for float32 throughout; `workers` are decoding processes.
    """

    architecture: str
    classes: tuple[str, ...]
    device: torch.device
    precision: torch.dtype | None
    workers: int


@dataclass(frozen=True)
class Trial:
    """A trial of a sweep, see debugger.records.Trial."""

    number: int
    status: Literal["running", "finished", "lost", "best"]
    hyperparameters: Mapping[str, object]
    step: int
    epoch: int
    values: Mapping[str, float]


class Step:
    """One pass of the loop over one batch."""

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Time a phase of the step: copy, forward, backward or optimizer.

        Gradients are recorded before the optimizer phase: they must be unscaled and not yet
        clipped.
        """
        return _NOTHING

    def result(self, loss: torch.Tensor, labels: torch.Tensor, answers: torch.Tensor) -> None:
        """Report the mean loss, labels [B] and answers [B] without waiting for the device."""

    def learning_rate(self, value: float) -> None:
        """Report the head's learning rate in this step."""

    def answers(self, batch: Batch, logits: torch.Tensor) -> None:
        """Report the answers [B, classes] to a batch of an evaluation."""


_STEP = Step()


class Hooks(AbstractContextManager["Hooks"]):
    """The reports of a whole job. The end of its `with` block records the job's status."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def watch(self, facts: Facts, network: nn.Module) -> None:
        """Report the facts and the network, which is neither wrapped nor compiled."""

    def steps(
        self,
        mode: Mode,  # noqa: ARG002
        batches: Iterable[Batch],
        epoch: int = 0,  # noqa: ARG002
        first: int = 0,  # noqa: ARG002
    ) -> Iterator[tuple[Step, Batch]]:
        """Yield each batch with its step; `first` is the number of the first step.

        Steps of an evaluation have the epoch and number of the training step before them.
        """
        for batch in batches:
            yield _STEP, batch

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Time a phase of the job; it ends the current step."""
        return _NOTHING

    def confusion(self, matrix: torch.Tensor, split: str = "") -> None:
        """Report the confusion matrix of "validation" or "test", int64 [classes, classes]."""

    def metrics(self, values: Mapping[str, float], epoch: int, step: int | None = None) -> None:
        """Report an epoch's metrics; it ended with training step `step`, by default the last."""

    def trial(self, trial: Trial) -> None:
        """Report a trial of a sweep after an epoch, and once more when it has ended."""

    def best(self, values: Mapping[str, float], epoch: int) -> None:
        """Report the epoch whose weights are in the bundle, counted from 1, and its metrics."""

"""What the loop tells of itself while it runs: light marks, inert unless the job is recorded.

    with hooks:                                        # the job
        with hooks.phase(EVALUATION): …                # a phase of it
        for step, batch in hooks.steps("train", …):    # its steps; the wait for a batch is timed
            with step.phase(FORWARD): …                # a phase of a step
            step.result(loss, labels, answers)

The classes here do nothing, at no cost: no thread, no file, no hook on any module. A job that is
recorded gets those of train/recording/recorder.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Self

import torch
from torch import nn

from debugger.records import Mode
from train.batches.data import Batch

if TYPE_CHECKING:
    from train.learning.evaluate import Scores
    from train.state.run import Run

_NOTHING: AbstractContextManager[None] = nullcontext()


class Step:
    """One batch on its way through the loop."""

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Time a phase of it: copy, forward, backward or optimizer.

        Tensors are looked at around them: gradients before the optimizer phase, when they must be
        unscaled and not yet clipped.
        """
        return _NOTHING

    def result(self, loss: torch.Tensor, labels: torch.Tensor, answers: torch.Tensor) -> None:
        """Note its mean loss, labels [B] and answers [B]; nothing is waited for."""


_STEP = Step()


class Hooks(AbstractContextManager["Hooks"]):
    """The marks of a whole job. As a context it ends the recording with how the job ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def watch(self, run: "Run", network: nn.Module) -> None:
        """Say what runs, once it is set up; `network` is neither wrapped nor compiled."""

    def steps(
        self,
        mode: Mode,  # noqa: ARG002
        batches: Iterable[Batch],
        epoch: int = 0,  # noqa: ARG002
        first: int = 0,  # noqa: ARG002
    ) -> Iterator[tuple[Step, Batch]]:
        """Yield from `batches`, each with its step: `first` is the number of the first.

        Those of an evaluation carry epoch and number of the training step that they follow.
        """
        for batch in batches:
            yield _STEP, batch

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Time a phase of the job; it ends the step at work."""
        return _NOTHING

    def scored(self, scores: "Scores") -> None:
        """Note an evaluation's confusion matrix."""

    def figures(self, figures: Mapping[str, float], epoch: int) -> None:
        """Note an epoch's metrics."""

"""A request to stop training, by SIGTERM or by a rule: it takes effect between two batches."""

import signal
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")
AGREE_EVERY = 10  # batches; asking the other processes costs a synchronisation
SIGTERM = "stopped on request (SIGTERM)"


class Interrupted(Exception):
    """The job was asked to stop; the message says by what. `rule` is true if by a rule."""

    def __init__(self, reason: str = SIGTERM, *, rule: bool = False) -> None:
        super().__init__(reason)
        self.rule = rule


class Stop:
    """Whether the job was asked to stop, and the rule that asked, if one did."""

    def __init__(self) -> None:
        self.requested = False
        self.rule = ""

    def install(self) -> None:
        """Handle SIGTERM from now on."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def ask(self, rule: str) -> None:
        """Ask for a stop, with the reason of a rule; the first reason counts."""
        self.rule = self.rule or rule
        self.requested = True

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield from `batches` until the job is asked to stop.

        With several processes all stop before the same batch.

        Raises:
            Interrupted: the job was asked to stop.
        """
        for number, batch in enumerate(batches):
            self.check(number)
            yield batch
        self.check(0)

    def check(self, number: int = 0) -> None:
        """Raise Interrupted if any process was asked to stop."""
        requested = self.requested
        if dist.is_initialized():
            if number % AGREE_EVERY:
                return
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
            flag = torch.tensor(int(requested), device=device)
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            requested = bool(flag.item())
        if requested:
            if self.rule:
                raise Interrupted(self.rule, rule=True)
            raise Interrupted(SIGTERM if self.requested else "stopped with the other processes")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.requested = True

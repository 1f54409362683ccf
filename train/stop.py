"""SIGTERM while training: the request is noted, and obeyed between two batches."""

import signal
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")
AGREE_EVERY = 10  # batches; asking the other processes costs a synchronisation


class Interrupted(Exception):
    """The platform asked the job to stop."""


class Stop:
    """Whether the job was asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> None:
        """Note SIGTERM from now on."""
        signal.signal(signal.SIGTERM, self._note)

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
            raise Interrupted

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.requested = True

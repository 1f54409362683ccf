"""Marks the start and end of phases on the host's clock, or on the GPU's without waiting for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

import torch

from debugger.records import RECORDING, Span

M = TypeVar("M")


class Clock(Protocol[M]):
    """Makes marks, whose times can be known later."""

    def mark(self) -> M:
        """Mark the current point in the work of the device."""
        ...

    def reached(self, mark: M) -> bool:
        """Whether the device has reached the mark."""
        ...

    def time(self, mark: M) -> float:
        """Return when it did, in seconds since 1970; call it in the order of the marks."""
        ...

    def anchor(self) -> None:
        """Set the clock by the host's clock; called when the device is idle."""
        ...


class HostClock:
    """A clock that never goes back, set once by the host's clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.perf_counter()

    def mark(self) -> float:
        """Return the time in seconds since 1970."""
        return self._offset + time.perf_counter()

    def reached(self, mark: float) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def time(self, mark: float) -> float:
        """Return the mark, which is a time already."""
        return mark

    def anchor(self) -> None:
        """Do nothing."""


class CudaClock:
    """Marks are CUDA events of the current stream: the time of a phase is the GPU's time for it.

    Each time is computed from the previous mark, because events give milliseconds as a float32.
    """

    def __init__(self, host: HostClock) -> None:
        self._host = host
        self.anchor()

    def anchor(self) -> None:
        """Set the clock; waits for the work that the device has been given."""
        self._last = self.mark()
        self._last.synchronize()
        self._time = self._host.mark()

    def mark(self) -> torch.cuda.Event:
        """Record an event."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def reached(self, mark: torch.cuda.Event) -> bool:
        """Return whether the event has passed, without waiting."""
        return bool(mark.query())  # type: ignore[no-untyped-call]

    def time(self, mark: torch.cuda.Event) -> float:
        """Return the previous mark's time plus the time since, in seconds since 1970."""
        self._time += self._last.elapsed_time(mark) / 1e3
        self._last = mark
        return self._time


class Trace(Generic[M]):
    """The marks of one step, from the creation of this object to `end`."""

    def __init__(self, clock: Clock[M]) -> None:
        self._clock = clock
        self._marks = [clock.mark()]
        self._spans: list[tuple[str, int, int]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Mark the start and the end of a phase."""
        begin = self._mark()
        yield
        self._spans.append((name, begin, self._mark()))

    def end(self) -> None:
        """Mark the end."""
        self._mark()

    def reached(self) -> bool:
        """Whether the device has finished the step."""
        return self._clock.reached(self._marks[-1])

    def times(self) -> tuple[float, float, tuple[Span, ...]]:
        """Return start, end and phases.

        Time that the recorder spent inside a phase is not part of it; it is a phase of its own.
        """
        at = [self._clock.time(mark) for mark in self._marks]
        own = [(a, b) for name, a, b in self._spans if name == RECORDING]
        spans = [
            Span(
                name,
                at[begin],
                at[end] - at[begin] - sum(at[b] - at[a] for a, b in own if begin < a and b < end),
            )
            for name, begin, end in self._spans
            if name != RECORDING
        ]
        if own:
            spans.append(Span(RECORDING, at[own[0][0]], sum(at[b] - at[a] for a, b in own)))
        return at[0], at[-1], tuple(spans)

    def _mark(self) -> int:
        self._marks.append(self._clock.mark())
        return len(self._marks) - 1

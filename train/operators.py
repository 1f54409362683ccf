"""A few steps under torch.profiler: which operators they took their time in."""

import os
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.profiler import ProfilerActivity, profile

from debugger.records import Note, Operator, Operators, Record

SHOWN = 60  # operators a device, the dearest


class Window:
    """Profiles the training steps from `first` up to `end`, once."""

    def __init__(
        self, first: int, end: int, write: Callable[[Record], None], who: dict[str, Any]
    ) -> None:
        self._first, self._end = first, end
        self._write, self._who = write, who
        self._profile: profile | None = None
        self._done = False
        self._cost = 0.0

    @property
    def running(self) -> bool:
        """Whether it profiles."""
        return self._profile is not None

    def wants(self, step: int) -> bool:
        """Whether `before` has anything to do."""
        return not self._done and (step >= self._end if self.running else step == self._first)

    def before(self, step: int) -> None:
        """Begin or end with the window, before a step."""
        begun = time.perf_counter()
        if self._profile:
            self.close(step)
        else:
            # Kineto says on stderr that it starts, and that there is no GPU where there is none.
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._profile = profile(activities=activities)
            self._profile.start()
            self._cost += time.perf_counter() - begun
            self._begun = time.perf_counter()

    def close(self, step: int) -> None:
        """End it before `step`, or before the window's end where the steps ended earlier."""
        watched, self._profile = self._profile, None
        if not watched:
            return
        self._done = True
        begun = time.perf_counter()
        seconds = begun - self._begun
        watched.stop()
        averages = watched.key_averages()
        now, steps = time.time(), step - self._first
        for device in ("cpu", "gpu"):
            found = _operators(averages, device)
            if found:
                self._write(Operators(now, device, self._first, steps, seconds, found, **self._who))
        self._cost += time.perf_counter() - begun
        text = (
            f"torch.profiler watched steps {self._first} to {step - 1}, which slows them; to begin "
            f"and to sum up took {self._cost:.2f} s besides"
        )
        self._write(Note(time.time(), text, **self._who))


def _operators(averages: Any, device: Literal["cpu", "gpu"]) -> tuple[Operator, ...]:
    """Return the dearest by their own time: on a CPU operators, on a GPU what it ran (kernels).

    Args:
        averages: torch.profiler's EventList, times in microseconds.
        device: whose.
    """
    cpu = device == "cpu"
    found = [
        Operator(
            event.key,
            event.count,
            (event.self_cpu_time_total if cpu else event.self_device_time_total) / 1e6,
            (event.cpu_time_total if cpu else event.device_time_total) / 1e6,
        )
        for event in averages
        if (event.device_type.name == "CPU") == cpu
    ]
    found.sort(key=lambda operator: -operator.self_seconds)
    return tuple(found[:SHOWN])

"""Runs torch.profiler for a few steps: the time that each operator took."""

import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch.profiler import ProfilerActivity, profile

from debugger.records import Note, Operator, Operators, Record

SHOWN = 60  # operators recorded for each device, the slowest ones


class Window:
    """Profiles the training steps from `first` to `end` - 1, once.

    `source` is the rank and host of this process.
    """

    def __init__(
        self, first: int, end: int, write: Callable[[Record], None], source: dict[str, Any]
    ) -> None:
        self._first, self._end = first, end
        self._write, self._source = write, source
        self._profile: profile | None = None
        self._done = False
        self._cost = 0.0

    @property
    def running(self) -> bool:
        """Whether it profiles now."""
        return self._profile is not None

    def is_due(self, step: int) -> bool:
        """Whether profiling must start or end before this step."""
        return not self._done and (step >= self._end if self.running else step == self._first)

    def toggle(self, step: int) -> None:
        """Start or end profiling before a step."""
        started = time.perf_counter()
        if self._profile:
            self.close(step)
        else:
            # Kineto would log its start to stderr, and a warning if there is no GPU.
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._profile = profile(activities=activities)
            self._profile.start()
            self._cost += time.perf_counter() - started
            self._started = time.perf_counter()

    def close(self, step: int) -> None:
        """End profiling before `step`, which is less than `end` if training ended earlier."""
        profiled, self._profile = self._profile, None
        if not profiled:
            return
        self._done = True
        stopped = time.perf_counter()
        seconds = stopped - self._started
        profiled.stop()
        events = _events(profiled)
        now, steps = time.time(), step - self._first
        found: dict[Literal["cpu", "gpu"], tuple[Operator, ...]]
        found = {"cpu": on_cpu(events), "gpu": on_gpu(events)}
        for device, operators in found.items():
            if operators:
                self._write(
                    Operators(now, device, self._first, steps, seconds, operators, **self._source)
                )
        self._cost += time.perf_counter() - stopped
        text = (
            f"torch.profiler ran during steps {self._first} to {step - 1} and slowed them down; "
            f"its start and its summary took another {self._cost:.2f} s"
        )
        self._write(Note(time.time(), text, **self._source))


def _events(profiled: profile) -> list[dict[str, Any]]:
    """Return the events of a profile, as in a Chrome trace, times in microseconds.

    They go through a file because `key_averages` takes several times as long.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trace.json")
        profiled.export_chrome_trace(str(file))
        events = json.loads(file.read_bytes())["traceEvents"]
    return [event for event in events if event.get("ph") == "X"]


def on_cpu(events: Iterable[Mapping[str, Any]]) -> tuple[Operator, ...]:
    """Return the operators, slowest first by their own time, without the operators they call."""
    by_thread: dict[object, list[Mapping[str, Any]]] = {}
    for event in events:
        if event.get("cat") in ("cpu_op", "user_annotation"):
            by_thread.setdefault(event["tid"], []).append(event)
    totals = _Totals()
    for thread in by_thread.values():
        open_: list[tuple[float, str]] = []  # end and name of the calls around the current one
        for event in sorted(thread, key=lambda event: (event["ts"], -event["dur"])):
            while open_ and open_[-1][0] <= event["ts"]:
                open_.pop()
            if open_:
                totals.own[open_[-1][1]] -= event["dur"]
            # A call inside a call of the same name is not counted again, as in torch.
            nested = any(name == event["name"] for _, name in open_)
            totals.add(event["name"], event["dur"], outermost=not nested)
            open_.append((event["ts"] + event["dur"], event["name"]))
    return totals.slowest()


def on_gpu(events: Iterable[Mapping[str, Any]]) -> tuple[Operator, ...]:
    """Return the kernels and copies that the GPU ran, slowest first."""
    totals = _Totals()
    for event in events:
        if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset"):
            totals.add(event["name"], event["dur"], outermost=True)
    return totals.slowest()


@dataclass
class _Totals:
    """Calls and microseconds by name; `own` is without and `whole` with nested calls."""

    calls: Counter[str] = field(default_factory=Counter)
    own: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    whole: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, duration: float, *, outermost: bool) -> None:
        self.own[name] += duration
        if outermost:
            self.calls[name] += 1
            self.whole[name] += duration

    def slowest(self) -> tuple[Operator, ...]:
        names = sorted(self.own, key=lambda name: -self.own[name])[:SHOWN]
        return tuple(
            Operator(name, self.calls[name], self.own[name] / 1e6, self.whole[name] / 1e6)
            for name in names
        )

"""A few steps under torch.profiler: which operators they took their time in."""

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
        events = _events(watched)
        now, steps = time.time(), step - self._first
        found: dict[Literal["cpu", "gpu"], tuple[Operator, ...]]
        found = {"cpu": on_cpu(events), "gpu": on_gpu(events)}
        for device, operators in found.items():
            if operators:
                self._write(
                    Operators(now, device, self._first, steps, seconds, operators, **self._who)
                )
        self._cost += time.perf_counter() - begun
        text = (
            f"torch.profiler watched steps {self._first} to {step - 1}, which slows them; to begin "
            f"and to sum up took {self._cost:.2f} s besides"
        )
        self._write(Note(time.time(), text, **self._who))


def _events(watched: profile) -> list[dict[str, Any]]:
    """Return what it saw as events of a Chrome trace, times in microseconds.

    By way of a file, for `key_averages` takes several times as long.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trace.json")
        watched.export_chrome_trace(str(file))
        events = json.loads(file.read_bytes())["traceEvents"]
    return [event for event in events if event.get("ph") == "X"]


def on_cpu(events: Iterable[Mapping[str, Any]]) -> tuple[Operator, ...]:
    """Return the operators, the dearest by their own time first: without what they called."""
    by_thread: dict[object, list[Mapping[str, Any]]] = {}
    for event in events:
        if event.get("cat") in ("cpu_op", "user_annotation"):
            by_thread.setdefault(event["tid"], []).append(event)
    totals = _Totals()
    for thread in by_thread.values():
        open_: list[tuple[float, str]] = []  # end and name of the calls around the present one
        for event in sorted(thread, key=lambda event: (event["ts"], -event["dur"])):
            while open_ and open_[-1][0] <= event["ts"]:
                open_.pop()
            if open_:
                totals.own[open_[-1][1]] -= event["dur"]
            # A call inside one of the same name is counted with that one, as torch does.
            nested = any(name == event["name"] for _, name in open_)
            totals.add(event["name"], event["dur"], outermost=not nested)
            open_.append((event["ts"] + event["dur"], event["name"]))
    return totals.dearest()


def on_gpu(events: Iterable[Mapping[str, Any]]) -> tuple[Operator, ...]:
    """Return what the GPU ran, the dearest first."""
    totals = _Totals()
    for event in events:
        if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset"):
            totals.add(event["name"], event["dur"], outermost=True)
    return totals.dearest()


@dataclass
class _Totals:
    """Calls and microseconds by name."""

    calls: Counter[str] = field(default_factory=Counter)
    own: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    whole: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, took: float, *, outermost: bool) -> None:
        self.own[name] += took
        if outermost:
            self.calls[name] += 1
            self.whole[name] += took

    def dearest(self) -> tuple[Operator, ...]:
        names = sorted(self.own, key=lambda name: -self.own[name])[:SHOWN]
        return tuple(
            Operator(name, self.calls[name], self.own[name] / 1e6, self.whole[name] / 1e6)
            for name in names
        )

"""Writes steps and samples of a recording in the formats that smdebug's `PandasFrame` reads.

The layout of timelines and system metrics is SageMaker's; see smdebug/timeline.py and
system.py. Initialisation and finalisation are not written: for smdebug they are the time before the
first step and after the last. Operators are not written: a timeline has single calls, not sums.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from debugger.formats.smdebug import system, timeline
from debugger.records import Phase, Record, Span, Step, System

_BYTES, _SECONDS = 8 << 20, 60.0  # a new timeline file begins after this size or time
_SPANS = {name: phase for phase, name in reversed(timeline.SPANS.items())}
_PIDS = {
    phase: pid for pid, phase in enumerate((*timeline.STEPS, *timeline.SPANS, *timeline.PHASES))
}
_PHASES = {name: phase for phase, name in timeline.PHASES.items()}
_SINGLE = {name: metric for metric, name in system.SINGLE.items()}
_WAIT = "DataLoaderIter"
_TYPES = {"memory": "memory", "disk": "i/o", "network": "network"}


@dataclass
class TimelineWriter:
    """Writes the timeline of a process below `profiler`/framework/pevents."""

    profiler: Path
    rank: int
    host: str
    _lines: list[str] = field(default_factory=list)
    _size: int = 0
    _first: int = 0  # microseconds
    _last: int = 0
    _evaluated: int = 0

    def add(self, record: Record) -> None:
        """Write a step, an evaluation or a checkpoint."""
        match record:
            case Step():
                self._add_step(record)
            case Phase() if record.name in _PHASES:
                span = Span(_PHASES[record.name], record.start, record.seconds)
                self._add_event(span.name, span, record.step)

    def close(self) -> None:
        """Write the remaining lines."""
        if not self._lines:
            return
        hour = time.strftime("%Y%m%d%H", time.gmtime(self._last / 1e6))
        folder = self.profiler / "framework" / "pevents" / hour
        folder.mkdir(parents=True, exist_ok=True)
        base = {"start_time_since_epoch_in_micros": self._first}
        meta = [_meta(0, "process_name", base)]
        for phase, pid in _PIDS.items():
            meta += [_meta(pid, "process_name", {"name": phase})]
            meta += [_meta(pid, "process_sort_index", {"sort_index": pid})]
        path = folder / f"{self._last}_{self.rank}-{self.host}_pythontimeline.json"
        path.write_text("[\n" + ",\n".join((*meta, *self._lines)) + "\n]")
        self._lines, self._size = [], 0

    def _add_step(self, step: Step) -> None:
        number = step.step
        if step.mode == "eval":
            number, self._evaluated = self._evaluated, self._evaluated + 1
        for span in step.spans:
            if phase := _SPANS.get(span.name):
                self._add_event(phase, span, number)
        # In smdebug, a step starts after the wait for its batch.
        waits = [item.start + item.seconds for item in step.spans if _SPANS.get(item.name) == _WAIT]
        start = min(max([step.start, *waits]), step.at)
        phase = f"Step:ModeKeys.{step.mode.upper()}"
        self._add_event(phase, Span(phase, start, step.at - start), number)

    def _add_event(self, phase: str, span: Span, number: int) -> None:
        start, end = round(span.start * 1e6), round((span.start + span.seconds) * 1e6)
        if self._lines and (self._size > _BYTES or end - self._first > _SECONDS * 1e6):
            self.close()
        if not self._lines:
            self._first = self._last = start
        event = {
            "name": phase,
            "pid": _PIDS[phase],
            "ph": "X",
            "ts": start - self._first,
            "dur": end - start,
            "args": {"step_num": str(number)},
        }
        self._lines.append(json.dumps(event, separators=(",", ":")))
        self._size += len(self._lines[-1])
        self._last = max(self._last, end)


@dataclass
class SystemWriter:
    """Writes the samples of a host below `profiler`/system/incremental."""

    profiler: Path
    host: str
    _minute: int = 0
    _lines: list[str] = field(default_factory=list)

    def add(self, sample: System) -> None:
        """Write a sample."""
        minute = int(sample.at // 60) * 60
        if minute != self._minute:
            self.close()
            self._minute = minute
        for kind, name, dimension, value in _metrics(sample):
            line = {
                "Type": kind,
                "Name": name,
                "Dimension": dimension,
                "Value": value,
                "NodeId": self.host,
                "Timestamp": sample.at,
            }
            self._lines.append(json.dumps(line, separators=(",", ":")) + "\n")

    def mark(self, at: float) -> None:
        """Write an empty file: `PandasFrame` reads only what comes after the first such file."""
        self._minute = int(at // 60) * 60
        self._write()

    def close(self) -> None:
        """Write the remaining lines."""
        if self._lines:
            self._write()

    def _write(self) -> None:
        hour = time.strftime("%Y%m%d%H", time.gmtime(self._minute))
        folder = self.profiler / "system" / "incremental" / hour
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{self._minute:010d}.{self.host}.json").open("a") as file:
            file.write("".join(self._lines))
        self._lines = []


def _metrics(sample: System) -> Iterator[tuple[str, str, str, float]]:
    """Yield type, name, dimension and value of each metric that SageMaker knows."""
    values = dict(sample.values)
    if not any(name.startswith("cpu/") for name in values) and "cpu" in values:
        values["cpu/0"] = values["cpu"]
    for name, value in values.items():
        kind, _, number = name.partition("/")
        for dimension, metric in system.NUMBERED.items():
            if kind == metric and number:
                yield kind[:3], f"{kind[:3]}{number}", dimension, value
                if kind == "cpu" and "iowait" in values:
                    yield "cpu", f"cpu{number}", system.IOWAIT, values["iowait"]
        if name in _SINGLE:
            kind = _TYPES[name.partition("_")[0]]
            yield kind, _SINGLE[name], "Algorithm" if kind == "network" else "", value


def _meta(pid: int, name: str, args: Mapping[str, object]) -> str:
    return json.dumps({"name": name, "ph": "M", "pid": pid, "args": args}, separators=(",", ":"))

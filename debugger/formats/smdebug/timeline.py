"""Reads timelines in smdebug's format as records.

    framework/pevents/YYYYMMDDHH/<end, microseconds>_<rank or pid>-<host>_pythontimeline.json
    framework/<rank or pid>-<host>_pythontimeline.json.tmp        the file being written
    framework/pevents/…/…_model_timeline.json                     operators, by device

A file is an array of Chrome trace events, one per line; each phase is a "process". Times are
microseconds after `start_time_since_epoch_in_micros`. Source:
smdebug/core/tfevent/timeline_file_writer.py. In files of smdebug a step ends with the forward pass;
in files of AWS and Kennel it ends with the optimizer.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debugger import records
from debugger.formats.smdebug.tensors import Key
from debugger.records import Mode, Phase, Record, Span, Step

FILE = re.compile(
    r"(?:\d+_)?(?P<number>\d+)-(?P<host>[^_]+)_(?P<kind>python|model_)timeline\.json(?:\.tmp)?"
)
STEPS: dict[str, Mode] = {
    "Step:ModeKeys.TRAIN": "train",
    "Step:ModeKeys.GLOBAL": "train",  # no mode was set
    "Step:ModeKeys.EVAL": "eval",
    "Step:ModeKeys.PREDICT": "eval",
}
SPANS = {
    "DataLoaderIter": records.DATA_WAIT,
    "DataLoaderIterInitialize": records.DATA_WAIT,
    "Copy": records.COPY,
    "Forward": records.FORWARD,
    "Backward(post-forward)": records.BACKWARD,
    "Optimizer": records.OPTIMIZER,
}
PHASES = {  # written by Kennel only
    "Features": records.FEATURES,
    "Evaluation": records.EVALUATION,
    "Checkpoint": records.CHECKPOINT,
}
_LINE = 1 << 20  # longer lines are not events


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """An event of a timeline, times in seconds; `phase` is a "process" in Chrome's trace format."""

    start: float
    seconds: float
    phase: str
    name: str
    thread: str
    step: int  # in its mode; -1 if unknown
    pid: int  # -1 if unknown

    @property
    def end(self) -> float:
        """When it ended, seconds since 1970."""
        return self.start + self.seconds


@dataclass(frozen=True)
class Node:
    """A process that wrote a timeline."""

    host: str
    number: int


def nodes(files: Iterable[Path]) -> dict[Node, list[Path]]:
    """Return the files of each process, oldest first."""
    found: dict[Node, list[tuple[bool, str, Path]]] = {}
    for path in files:
        if match := FILE.fullmatch(path.name):
            node = Node(match["host"], int(match["number"]))
            found.setdefault(node, []).append((path.suffix == ".tmp", path.name, path))
    return {node: [path for *_, path in sorted(paths)] for node, paths in sorted_nodes(found)}


def sorted_nodes(found: Mapping[Node, Any]) -> list[tuple[Node, Any]]:
    """Return nodes by host and number."""
    return sorted(found.items(), key=lambda item: (item[0].host, item[0].number))


def read(node: Node, files: Iterable[Path], losses: dict[Key, float]) -> list[Record]:
    """Return the steps and phases of a process by time.

    Takes the losses of its steps out of `losses`. The timeline is loaded into memory, with some
    hundred bytes per event.
    """
    wanted = STEPS.keys() | SPANS.keys() | PHASES.keys()
    found = [
        event
        for path in files
        if "_pythontimeline" in path.name
        for event in events(path)
        if event.phase in wanted
    ]
    found.sort(key=lambda event: (event.start, _place(event.phase)))
    rank = rank_of(node, found)
    read = [*_steps(found, rank, node.host, losses), *_phases(found, rank, node.host)]
    if not any(event.phase == "Evaluation" for event in found):
        read += list(_evaluations(read))
    read.sort(key=lambda record: record.at)
    return read


def _place(phase: str) -> int:
    """Return the order of events that start in the same microsecond: wait, step, phases."""
    return 0 if SPANS.get(phase) == records.DATA_WAIT else 1 if phase in STEPS else 2


def rank_of(node: Node, found: Iterable[TraceEvent]) -> int:
    """Return the rank. The file name of a single process has the process id instead: rank 0."""
    return 0 if any(event.pid == node.number for event in found) else node.number


def events(path: Path) -> Iterator[TraceEvent]:
    """Yield the events of a timeline; damaged and incomplete lines are skipped."""
    phases: dict[int, str] = {}
    base = 0.0
    try:
        with path.open("rb") as file:
            while line := file.readline(_LINE):
                event = _json(line)
                args = event.get("args")
                if not isinstance(args, dict):
                    args = {}
                if event.get("ph") == "M" and event.get("name") == "process_name":
                    base = _real(args.get("start_time_since_epoch_in_micros"), base)
                    if "name" in args:
                        phases[_int(event.get("pid"))] = str(args["name"])
                elif event.get("ph") == "X":
                    start, length = _real(event.get("ts")), _real(event.get("dur"))
                    if math.isfinite(start + length) and length >= 0:
                        yield TraceEvent(
                            (base + start) / 1e6,
                            length / 1e6,
                            phases.get(_int(event.get("pid")), ""),
                            str(event.get("name", "")),
                            str(event.get("tid", args.get("tid", ""))),
                            _int(args.get("step_num")),
                            _int(args.get("pid")),
                        )
    except OSError:
        return


def _steps(
    found: list[TraceEvent], rank: int, host: str, losses: dict[Key, float]
) -> Iterator[Step]:
    """Yield steps. A data wait belongs to the next step, other phases to the current step."""
    waits: list[TraceEvent] = []
    current: TraceEvent | None = None
    spans: list[TraceEvent] = []
    trained = 0
    source = (rank, host, losses)
    for event in found:
        if event.phase in STEPS:
            if current:
                yield _step(current, spans, trained, *source)
            current, spans, waits = event, waits, []
            if STEPS[event.phase] == "train":
                trained = max(event.step, 0)
        elif event.phase.startswith("DataLoaderIter"):
            waits.append(event)
        elif current and event.phase in SPANS:
            spans.append(event)
    if current:
        yield _step(current, spans, trained, *source)


def _step(
    current: TraceEvent,
    spans: list[TraceEvent],
    trained: int,
    rank: int,
    host: str,
    losses: dict[Key, float],
) -> Step:
    mode = STEPS[current.phase]
    inside = [item for item in spans if item.phase.startswith("DataLoaderIter")]
    inside += [item for item in spans if item not in inside and item.step == current.step]
    return Step(
        max(item.end for item in (current, *inside)),
        mode,
        max(current.step, 0) if mode == "train" else trained,
        0,
        min(item.start for item in (current, *inside)),
        tuple(Span(SPANS[item.phase], item.start, item.seconds) for item in inside),
        0,
        losses.pop((rank, mode, current.step), None),
        rank=rank,
        host=host,
    )


def _phases(found: list[TraceEvent], rank: int, host: str) -> Iterator[Phase]:
    for event in found:
        if name := PHASES.get(event.phase):
            yield Phase(event.end, name, event.start, max(event.step, 0), rank=rank, host=host)


def _evaluations(read: list[Record]) -> Iterator[Phase]:
    """Yield an evaluation for each sequence of evaluation steps without a training step between."""
    run: list[Step] = []
    steps = sorted((item for item in read if isinstance(item, Step)), key=lambda item: item.start)
    for step in (*steps, None):
        if run and (step is None or step.mode == "train"):
            first, last = run[0], max(run, key=lambda item: item.at)
            yield Phase(
                last.at,
                records.EVALUATION,
                first.start,
                first.step,
                rank=first.rank,
                host=first.host,
            )
            run = []
        if step and step.mode == "eval":
            run.append(step)


def _json(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line.strip(b",[] \r\n") or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _real(value: object, otherwise: float = math.nan) -> float:
    """Return a number of microseconds that can be a date; else `otherwise`."""
    good = isinstance(value, int | float) and -1e18 < value < 1e18
    return float(value) if good else otherwise  # type: ignore[arg-type]


def _int(value: object) -> int:
    try:
        return int(str(value)) if len(str(value)) < 19 else -1
    except ValueError:
        return -1

"""Operators of a profiled window: the events of a timeline's `cpu_functions` and `gpu_functions`.

Source: smdebug/pytorch/hook.py; AWS's detailed profiling and kineto traces turned into it.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from debugger.formats.timeline import Node, TraceEvent, events
from debugger.records import Operator, Operators

_MOST = 200  # operators of a device, the dearest
_EVENTS = 2_000_000  # of a device, in memory; more say nothing new


def read(node: Node, rank: int, files: Iterable[Path]) -> Iterator[Operators]:
    """Yield a record for each kind of device that a process's timelines tell of."""
    by_device: dict[str, list[TraceEvent]] = {"cpu": [], "gpu": []}
    for path in files:
        for event in events(path):
            device = event.phase.partition("_functions")[0]
            kept = by_device.get(device) if "_functions" in event.phase else None
            if kept is not None and len(kept) < _EVENTS:
                kept.append(event)
    for device, found in by_device.items():
        if found:
            steps = {event.step for event in found if event.step >= 0} or {0}
            end = max(event.end for event in found)
            seconds = end - min(event.start for event in found)
            yield Operators(
                end,
                "gpu" if device == "gpu" else "cpu",
                min(steps),
                len(steps),
                seconds,
                tuple(heapq.nlargest(_MOST, _operators(found), key=lambda one: one.self_seconds)),
                rank=rank,
                host=node.host,
            )


def _operators(found: list[TraceEvent]) -> Iterator[Operator]:
    calls: dict[str, int] = defaultdict(int)
    own: dict[str, float] = defaultdict(float)
    total: dict[str, float] = defaultdict(float)
    around: dict[tuple[str, str], list[TraceEvent]] = defaultdict(list)
    for event in sorted(found, key=lambda one: (one.start, -one.seconds)):
        calls[event.name] += 1
        own[event.name] += event.seconds
        total[event.name] += event.seconds
        stack = around[event.phase, event.thread]  # the calls that this one is inside of
        while stack and stack[-1].end < event.end:
            stack.pop()
        if stack:
            own[stack[-1].name] -= event.seconds
        stack.append(event)
    for name, count in calls.items():
        yield Operator(name, count, max(0.0, own[name]), total[name])

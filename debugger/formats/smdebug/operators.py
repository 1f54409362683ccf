"""Reads the operators of a profiled window: `cpu_functions` and `gpu_functions` in a timeline.

Source: smdebug/pytorch/hook.py. AWS's detailed profiling and converted kineto traces use it too.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from debugger.formats.smdebug.timeline import Node, TraceEvent, events
from debugger.records import Operator, Operators

_MOST = 200  # most expensive operators per device
_EVENTS = 2_000_000  # per device, in memory


def read(node: Node, rank: int, files: Iterable[Path]) -> Iterator[Operators]:
    """Yield a record for each kind of device in the timelines of a process."""
    by_device: dict[str, list[TraceEvent]] = {"cpu": [], "gpu": []}
    for path in files:
        for event in events(path):
            device = event.phase.partition("_functions")[0]
            stored = by_device.get(device) if "_functions" in event.phase else None
            if stored is not None and len(stored) < _EVENTS:
                stored.append(event)
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
                tuple(heapq.nlargest(_MOST, _operators(found), key=lambda item: item.self_seconds)),
                rank=rank,
                host=node.host,
            )


def _operators(found: list[TraceEvent]) -> Iterator[Operator]:
    calls: dict[str, int] = defaultdict(int)
    own: dict[str, float] = defaultdict(float)
    total: dict[str, float] = defaultdict(float)
    stacks: dict[tuple[str, str], list[TraceEvent]] = defaultdict(list)
    for event in sorted(found, key=lambda item: (item.start, -item.seconds)):
        calls[event.name] += 1
        own[event.name] += event.seconds
        total[event.name] += event.seconds
        stack = stacks[event.phase, event.thread]  # the calls that contain this one
        while stack and stack[-1].end < event.end:
            stack.pop()
        if stack:
            own[stack[-1].name] -= event.seconds
        stack.append(event)
    for name, count in calls.items():
        yield Operator(name, count, max(0.0, own[name]), total[name])

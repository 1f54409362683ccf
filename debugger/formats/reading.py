"""Any recording as records: ours, or smdebug's and SageMaker's files put together."""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from debugger import recording, records
from debugger.formats import found as finding
from debugger.formats import operators, system, tensors, timeline
from debugger.formats.found import Found
from debugger.records import End, Phase, Record, Start, Step

FACTS = {"recorded_by": "smdebug"}  # all that its files say of a job; not how it ended


def read(folder: Path) -> Iterator[Record]:
    """Yield the records of what lies in a folder or below it, by time.

    Of a recording of ours, that alone; else smdebug's tensors and timelines and SageMaker's system
    metrics, as many as there are. What those do not say is told by them: the job starts with the
    first thing seen and is initialised until its first step; the end is known only where smdebug
    left `training_job_end.ts`.

    Raises:
        RecordingError: there is nothing to read, or that of several jobs; says what was looked for.
    """
    ours = finding.recording(folder)
    if ours:
        return recording.read(ours)
    return _foreign(finding.find(folder))


def _foreign(found: Found) -> Iterator[Record]:
    losses = tensors.read_losses(found.tensors) if found.tensors else {}
    streams: list[Iterable[Record]] = []
    begun: list[float] = []
    hosts: dict[int, str] = {}  # of ranks, as the timelines tell
    for node, files in timeline.nodes(found.timelines).items():
        steps = timeline.read(node, files, losses)
        rank = steps[0].rank if steps else 0
        hosts.setdefault(rank, node.host)
        begun += [one.start for one in steps[:1] if isinstance(one, Step | Phase)]
        streams += [steps, sorted(operators.read(node, rank, files), key=_at)]
    names = tensors.workers(found.tensors) if found.tensors else []
    if found.tensors:
        streams += [tensors.read(found.tensors, worker, hosts, losses) for worker in names]
    samples = system.hosts(found.system)
    for host, files in samples.items():
        # Outside of SageMaker a timeline has the machine's own name: of one host it is the same.
        one = len(samples) == len(set(hosts.values())) == 1
        streams.append(system.read(hosts.get(0, host) if one else host, files))
    merged = heapq.merge(*streams, key=_at)
    first = next(merged, None)
    if first is None:
        return
    start = min([first.at, *begun])
    who: dict[str, Any] = {"rank": 0, "host": hosts.get(0, first.host)}
    yield Start(start, found.job, max(1, len(names), len(hosts)), start, FACTS, **who)
    yield from _framed(found, itertools.chain([first], merged), start, who)


def _framed(
    found: Found, stream: Iterator[Record], start: float, who: Mapping[str, Any]
) -> Iterator[Record]:
    """Yield the records, the phases that lie outside of the loop, and an end, if any was said."""
    timed = False
    at, looped = start, start
    for record in stream:
        if isinstance(record, Step | Phase) and not timed and found.timelines:
            timed = True
            begun = max(start, record.start)
            yield Phase(begun, records.INITIALISATION, start, 0, **who)
        if isinstance(record, Step | Phase):
            looped = max(looped, record.at)
        at = max(at, record.at)
        yield record
    if timed and at > looped:
        yield Phase(at, records.FINALISATION, looped, 0, **who)
    if found.tensors and tensors.ended(found.tensors):
        yield End(at, "completed", **who)


def _at(record: Record) -> float:
    return record.at

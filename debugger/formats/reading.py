"""Reads recordings in any format: Kennel's, or merged files of smdebug and SageMaker."""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from debugger import recording, records
from debugger.formats.found import Found, find
from debugger.formats.smdebug import operators, system, tensors, timeline
from debugger.records import End, Phase, Record, Start, Step

FACTS = {"recorded_by": "smdebug"}  # smdebug files do not say how a job ended


def read(folder: Path) -> Iterator[Record]:
    """Yield the records of a folder (and everything below it), sorted by time.

    A recording in Kennel's format is read alone. Otherwise all tensors and timelines of smdebug and
    system metrics of SageMaker are merged. Their files do not have everything: the job starts at
    the first record, initialisation ends at the first step, and the end of the job is known only if
    smdebug wrote `training_job_end.ts`.

    Raises:
        RecordingError: there is no recording (the message lists the formats), or there are several.
    """
    kennel = recording.find(folder)
    if kennel:
        return recording.read(kennel)
    return _read_foreign(find(folder))


def _read_foreign(found: Found) -> Iterator[Record]:
    losses = tensors.read_losses(found.tensors) if found.tensors else {}
    streams: list[Iterable[Record]] = []
    starts: list[float] = []
    hosts: dict[int, str] = {}  # rank to host, from the timelines
    for node, files in timeline.nodes(found.timelines).items():
        steps = timeline.read(node, files, losses)
        rank = steps[0].rank if steps else 0
        hosts.setdefault(rank, node.host)
        starts += [item.start for item in steps[:1] if isinstance(item, Step | Phase)]
        streams += [steps, sorted(operators.read(node, rank, files), key=_at)]
    names = tensors.workers(found.tensors) if found.tensors else []
    if found.tensors:
        streams += [tensors.read(found.tensors, worker, hosts, losses) for worker in names]
    samples = system.hosts(found.system)
    for host, files in samples.items():
        # Outside of SageMaker the timeline has the host's own name. With a single host, both match.
        single = len(samples) == len(set(hosts.values())) == 1
        streams.append(system.read(hosts.get(0, host) if single else host, files))
    merged = heapq.merge(*streams, key=_at)
    first = next(merged, None)
    if first is None:
        return
    start = min([first.at, *starts])
    source: dict[str, Any] = {"rank": 0, "host": hosts.get(0, first.host)}
    yield Start(start, found.job, max(1, len(names), len(hosts)), start, FACTS, **source)
    yield from _with_ends(found, itertools.chain([first], merged), start, source)


def _with_ends(
    found: Found, stream: Iterator[Record], start: float, source: Mapping[str, Any]
) -> Iterator[Record]:
    """Add initialisation, finalisation, and an End if smdebug wrote one."""
    timed = False
    at, loop_end = start, start
    for record in stream:
        if isinstance(record, Step | Phase) and not timed and found.timelines:
            timed = True
            loop_start = max(start, record.start)
            yield Phase(loop_start, records.INITIALISATION, start, 0, **source)
        if isinstance(record, Step | Phase):
            loop_end = max(loop_end, record.at)
        at = max(at, record.at)
        yield record
    if timed and at > loop_end:
        yield Phase(at, records.FINALISATION, loop_end, 0, **source)
    if found.tensors and tensors.ended(found.tensors):
        yield End(at, "completed", **source)


def _at(record: Record) -> float:
    return record.at

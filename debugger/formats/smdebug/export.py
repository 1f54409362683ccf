"""Writes a recording in the formats of smdebug and SageMaker, for notebooks that read them."""

import re
from collections.abc import Iterable
from pathlib import Path

from debugger.formats.smdebug.profiler_writer import SystemWriter, TimelineWriter
from debugger.formats.smdebug.tensor_writer import TensorWriter
from debugger.recording import RecordingError, find
from debugger.records import End, Phase, Record, Start, Step, System

_NODE = re.compile(r"algo-\d+")  # the host names that smdebug accepts


def to_smdebug(records: Iterable[Record], folder: Path, recording: Path | None = None) -> None:
    """Write records into a new or empty folder, in the layout of SageMaker and smdebug in S3.

        debug-output/                      smdebug.trials.create_trial(…)
        profiler-output/framework/, …/system/     PandasFrame("…/profiler-output")

    Complete tensors come from `recording`, the folder of the records.

    Raises:
        RecordingError: the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise RecordingError(f"{folder} is not empty: use a new folder")
    profiler = folder / "profiler-output"
    source = find(recording) if recording else None
    network = "model"
    tensors: dict[int, TensorWriter] = {}
    timelines: dict[tuple[str, int], TimelineWriter] = {}
    systems: dict[str, SystemWriter] = {}
    hosts: dict[str, str] = {}
    for record in records:
        host = hosts.setdefault(record.host, _node(record.host, len(hosts)))
        if isinstance(record, Start):
            network = re.sub("[^A-Za-z0-9]", "", str(record.facts.get("architecture") or network))
            continue
        if isinstance(record, End):
            (folder / "debug-output").mkdir(parents=True, exist_ok=True)
            (folder / "debug-output" / "training_job_end.ts").touch()
            continue
        if isinstance(record, System):
            systems.setdefault(host, SystemWriter(profiler, host)).add(record)
            continue
        if isinstance(record, Step | Phase):
            key = (host, record.rank)
            timelines.setdefault(key, TimelineWriter(profiler, record.rank, host)).add(record)
            if not systems:
                systems[host] = SystemWriter(profiler, host)
                systems[host].mark(record.start)
        writer = tensors.setdefault(
            record.rank, TensorWriter(folder / "debug-output", record.rank, network, source)
        )
        writer.add(record)
    for timeline in timelines.values():
        timeline.close()
    for system in systems.values():
        system.close()
    for writer in tensors.values():
        writer.close(len(tensors))


def _node(host: str, count: int) -> str:
    return host if _NODE.fullmatch(host) else f"algo-{count + 1}"

"""What a folder holds: a recording of ours, or smdebug's and SageMaker's files, anywhere below it.

SageMaker leaves them under `<prefix>/<job>/debug-output` and
`<prefix>/<job>/profiler-output/{framework,system}`; on one machine they may lie anyhow.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from debugger.formats import system, timeline
from debugger.recording import RecordingError, is_recording

_LEAVES = {"debug-output", "profiler-output", "output", "tensors", "profiler", "framework"}


@dataclass(frozen=True)
class Found:
    """What was found, and the job's name where the folders tell it."""

    job: str
    tensors: Path | None
    timelines: tuple[Path, ...]
    system: tuple[Path, ...]


def recording(folder: Path) -> Path | None:
    """Return the recording of ours that a folder is or holds, None where there is none.

    Raises:
        RecordingError: there are several.
    """
    if is_recording(folder):
        return folder
    # Not by glob: a job at work may remove a folder between its being seen and being looked into.
    holders = [
        Path(at)
        for at, _, names in os.walk(folder)
        if "-" in Path(at).name and any(name.endswith(".jsonl") for name in names)
    ]
    found = [one for one in sorted({path.parent for path in holders}) if is_recording(one)]
    if len(found) > 1:
        raise RecordingError(f"{folder} holds several recordings: name one of {_names(found)}")
    return found[0] if found else None


def find(folder: Path) -> Found:
    """Find smdebug's tensors and timelines and SageMaker's system metrics.

    Raises:
        RecordingError: there are none, or those of several jobs.
    """
    tensors: list[Path] = []
    timelines, systems = [], []
    for at, folders, names in os.walk(folder):
        folders.sort()
        here = Path(at)
        if "events" in folders and any(here.glob("events/*/*.tfevents*")):
            tensors.append(here)
        for name in sorted(names):
            if timeline.FILE.fullmatch(name):
                timelines.append(here / name)
            elif system.FILE.fullmatch(name):
                systems.append(here / name)
    if not (tensors or timelines or systems):
        raise RecordingError(
            f"{folder} holds nothing to read. Looked in it and below for a recording of kennel's "
            "(<host>-<rank>/*.jsonl), smdebug's tensors (events/*/*.tfevents), timelines "
            "(*_pythontimeline.json), and SageMaker's system metrics (<minute>.<host>.json)"
        )
    jobs = {_job(path, folder) for path in (*tensors, *timelines, *systems)}
    if len(tensors) > 1 or len(jobs) > 1:
        shown = _names(sorted(jobs if len(jobs) > 1 else tensors))
        raise RecordingError(f"{folder} holds the files of several jobs: name one of {shown}")
    job = jobs.pop()
    return Found(
        job.resolve().name, tensors[0] if tensors else None, tuple(timelines), tuple(systems)
    )


def _job(path: Path, folder: Path) -> Path:
    """Return the folder that SageMaker named after the job, `folder` where it did not."""
    for parent in path.relative_to(folder).parents:
        if parent.name in ("debug-output", "profiler-output"):
            return folder / parent.parent
    if path.resolve() == folder.resolve() and folder.name == "debug-output":
        return folder.parent
    return folder


def _names(found: list[Path]) -> str:
    return ", ".join(str(one) for one in found[:5]) + (", …" if len(found) > 5 else "")

"""Finds the files of smdebug and SageMaker in a folder or below it.

SageMaker writes them to `<prefix>/<job>/debug-output` and
`<prefix>/<job>/profiler-output/{framework,system}`; elsewhere any layout is possible.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from debugger.formats.smdebug import system, timeline
from debugger.recording import RecordingError, shown


@dataclass(frozen=True)
class Found:
    """The files found, and the name of the job (if a folder has it)."""

    job: str
    tensors: Path | None
    timelines: tuple[Path, ...]
    system: tuple[Path, ...]


def find(folder: Path) -> Found:
    """Find tensors and timelines of smdebug, and system metrics of SageMaker.

    Raises:
        RecordingError: there are none, or files of several jobs.
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
            f"{folder} holds no recording, and no folder below it does. A recording is one of: "
            "<host>-<rank>/*.jsonl (kennel), events/*/*.tfevents (smdebug tensors), "
            "*_pythontimeline.json (timelines), <minute>.<host>.json (system metrics)"
        )
    jobs = {_job(path, folder) for path in (*tensors, *timelines, *systems)}
    if len(tensors) > 1 or len(jobs) > 1:
        listed = shown(sorted(jobs if len(jobs) > 1 else tensors))
        raise RecordingError(f"{folder} holds files of several jobs: choose one of {listed}")
    job = jobs.pop()
    return Found(
        job.resolve().name, tensors[0] if tensors else None, tuple(timelines), tuple(systems)
    )


def _job(path: Path, folder: Path) -> Path:
    """Return the folder with the name of the job; `folder` if there is none."""
    for parent in path.relative_to(folder).parents:
        if parent.name in ("debug-output", "profiler-output"):
            return folder / parent.parent
    if path.resolve() == folder.resolve() and folder.name == "debug-output":
        return folder.parent
    return folder

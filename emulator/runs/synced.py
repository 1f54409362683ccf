"""The folders of a training job that go to S3 while it runs: checkpoints, tensors, profiles."""

import contextlib
import itertools
import shutil
from pathlib import Path

from emulator.context import Context
from emulator.contract import Record
from emulator.engines import opt_ml
from emulator.engines.container import OPT_ML
from emulator.errors import JobError
from emulator.store import artifacts
from emulator.store.objects import Location


def folders(job: Record) -> list[tuple[str, str]]:
    """Return the folders that go to S3 while a job runs: path in the container, S3 URI."""
    wanted: list[tuple[str, str]] = []
    name = job["TrainingJobName"]
    if "CheckpointConfig" in job:
        config = job["CheckpointConfig"]
        wanted.append((config.get("LocalPath", opt_ml.CHECKPOINTS), config["S3Uri"]))
    if "DebugHookConfig" in job:
        config = job["DebugHookConfig"]
        output = f"{config['S3OutputPath'].rstrip('/')}/{name}/debug-output"
        wanted.append((config.get("LocalPath", opt_ml.TENSORS), output))
    if "S3OutputPath" in job.get("ProfilerConfig", {}):
        output = f"{job['ProfilerConfig']['S3OutputPath'].rstrip('/')}/{name}"
        wanted.append((opt_ml.PROFILE, f"{output}/profiler-output"))
    return wanted


def rescue(context: Context, job: Record) -> None:
    """Send what a job, whose emulator was killed, had not sent yet, and clear its folder away."""
    folder = context.settings.state / "jobs" / job["TrainingJobName"]
    attempts = [path for path in folder.glob("*") if path.name.isdecimal()]
    for attempt in sorted(attempts, key=lambda path: int(path.name))[-1:]:
        for root, (path, uri) in itertools.product(sorted(attempt.glob("algo-*")), folders(job)):
            with contextlib.suppress(JobError):  # the bucket is gone meanwhile
                artifacts.Sync(context.objects, below(root, path), Location.parse(uri)).send()
    shutil.rmtree(folder, ignore_errors=True)


def below(root: Path, path: str) -> Path:
    """Return where on this machine a container's path below /opt/ml is."""
    return root / path.removeprefix(OPT_ML).lstrip("/")

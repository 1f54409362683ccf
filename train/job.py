"""One process of a training job: `python -m train.job`, started by train/entry.py or torchrun.

Reads what sagemaker-training put into the environment, trains, and leaves the reason of a failure.
"""

import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import DistError

from pictures import channels
from train import config, loop
from train.platform.stop import Interrupted, Stop
from train.recording import recorder, smdebug


@dataclass(frozen=True)
class Job:
    """Where a process of a job finds and leaves things.

    `checkpoints` is None where the platform gave no folder for them.
    """

    channels: Mapping[str, Path]
    hyperparameters: Mapping[str, object]
    model_dir: Path
    output_dir: Path
    failure_file: Path
    config_dir: Path
    checkpoints: Path | None
    rank: int = 0
    local_rank: int = 0
    world: int = 1
    local_world: int = 1

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Job":
        """Read sagemaker-training's SM_* and torchrun's variables."""
        base = Path(env.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
        return cls(
            channels={
                name: Path(env[f"SM_CHANNEL_{name.upper()}"])
                for name in json.loads(env.get("SM_CHANNELS", "[]"))
            },
            hyperparameters=json.loads(env.get("SM_HPS", "{}")),
            model_dir=Path(env["SM_MODEL_DIR"]),
            output_dir=Path(env["SM_OUTPUT_DATA_DIR"]),
            failure_file=base / "output" / "failure",
            config_dir=base / "input" / "config",
            checkpoints=_checkpoint_folder(base, env.get("TRAINING_JOB_NAME", "")),
            rank=int(env.get("RANK", "0")),
            local_rank=int(env.get("LOCAL_RANK", "0")),
            world=int(env.get("WORLD_SIZE", "1")),
            local_world=int(env.get("LOCAL_WORLD_SIZE", "1")),
        )


def _checkpoint_folder(base: Path, job_name: str) -> Path | None:
    """Return the checkpoint folder; SageMaker mounts one when the job asks for checkpoints.

    A folder inside it for each job: whether tuning keeps its trials' apart is not documented.
    """
    setting = base / "input" / "config" / "checkpointconfig.json"
    local = json.loads(setting.read_text()).get("LocalPath") if setting.is_file() else None
    root = Path(local) if local else base / "checkpoints"
    if not root.is_dir():
        return None
    folder = root / job_name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(job: Job, stop: Stop) -> None:
    """Train.

    Raises:
        ConfigError, DataError, WeightsError: with what to mend.
        Interrupted: the job was asked to stop; its state is in the checkpoint folder.
    """
    settings = config.from_hyperparameters(job.hyperparameters)
    with smdebug.beside(recorder.start(settings, job, stop)) as hooks:
        splits = channels.find(
            {name: path for name, path in job.channels.items() if name != channels.PRETRAINED},
            seed=settings.seed,
            valid_fraction=settings.valid_fraction,
            test_fraction=settings.test_fraction,
        )
        loop.train(settings, splits, job, stop, hooks)


def main() -> int:
    """Run this process's part and return its exit code."""
    stop = Stop()
    stop.install()
    job = Job.from_environment(os.environ)
    try:
        if job.world > 1:
            _join(job)
        run(job, stop)
    except Interrupted as interrupted:
        print(interrupted, flush=True)
        if interrupted.rule:  # exit code 0 all the same, for the best so far is worth keeping
            leave_reason(job.failure_file, interrupted)
    except Exception as error:
        if not (job.world > 1 and lost_another(error)):
            leave_reason(job.failure_file, error)
        traceback.print_exc()
        if job.world > 1:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)  # leaving the group in good order would wait for the others
        return 1
    if dist.is_initialized():
        dist.destroy_process_group()
    return 0


def _join(job: Job) -> None:
    """Meet the other processes."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(job.local_rank)
    dist.init_process_group("nccl" if cuda else "gloo")


def lost_another(error: Exception) -> bool:
    """Whether a process failed because another did: that one's reason is the one to tell."""
    if isinstance(error, DistError):
        return True
    words = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def leave_reason(file: Path, error: Exception) -> None:
    """Write the failure file: the reason first, for its beginning is what people see.

    The first process of a host to fail writes it; those after it do not overwrite.
    """
    shown = f"{type(error).__name__}: {error}"
    try:
        with file.open("x") as failure:
            failure.write(f"{shown}\n\n{traceback.format_exc()}")
    except FileExistsError:
        pass
    except OSError as problem:
        print(f"cannot write {file} ({problem}); the reason is: {shown}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

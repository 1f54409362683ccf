"""One process of a training job: `python -m train.job`, started by train/entry.py or torchrun.

It reads what sagemaker-training put into the environment, trains, and writes why it failed if it
fails.
"""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import DistError

from classifier import weights
from pictures import channels, tested
from pictures.tables.table import TableOptions
from train import config, loop
from train.platform import log
from train.platform.environment import Job
from train.platform.stop import Interrupted, Stop
from train.recording import recorder, smdebug


def run(job: Job, stop: Stop) -> None:
    """Train.

    Raises:
        ConfigError, DataError, WeightsError: with what to fix.
        Interrupted: the job was asked to stop; its state is in the checkpoint folder.
    """
    settings = config.from_hyperparameters(job.hyperparameters)
    hooks = smdebug.with_smdebug(recorder.start(settings, job, stop), settings.debugger_interval)
    with hooks:
        continued = None
        if settings.weights != "none":
            continued = weights.continued(
                settings.architecture,
                file=None if settings.weights == "pretrained" else Path(settings.weights),
                channel=job.channels.get(channels.PRETRAINED),
            )
        splits = channels.find(
            {name: path for name, path in job.channels.items() if name != channels.PRETRAINED},
            split_seed=settings.split_seed,
            valid_fraction=settings.valid_fraction,
            test_fraction=settings.test_fraction,
            tested=tested.from_record(continued.training.get("split")) if continued else None,
            table=TableOptions(
                settings.table,
                settings.picture_column,
                settings.label_column,
                settings.split_column,
            ),
        )
        loop.train(settings, splits, job, stop, hooks)


def main() -> int:
    """Run this process's part of the job and return its exit code."""
    stop = Stop()
    stop.install()
    job = Job.from_environment(os.environ)
    try:
        if job.world_size > 1:
            _join(job)
        run(job, stop)
    except Interrupted as interrupted:
        log.log(str(interrupted))
        if interrupted.rule:  # the exit code is still 0: the best model so far is worth keeping
            write_failure(job.failure_file, interrupted)
    except Exception as error:
        if not (job.world_size > 1 and is_lost_peer(error)):
            write_failure(job.failure_file, error)
        log.log_error(error)
        if job.world_size > 1:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)  # an orderly exit would wait for the other processes
        return 1
    if dist.is_initialized():
        dist.destroy_process_group()
    return 0


def _join(job: Job) -> None:
    """Join the process group of all processes."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(job.local_rank)
    dist.init_process_group("nccl" if cuda else "gloo")


def is_lost_peer(error: Exception) -> bool:
    """Whether this process failed only because another did; that one writes the reason."""
    if isinstance(error, DistError):
        return True
    words = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def write_failure(file: Path, error: Exception) -> None:
    """Write the failure file: the reason first, because people see only its beginning.

    The first process of a host that fails writes it; later ones do not overwrite it.
    """
    text = log.failure(error)
    try:
        with file.open("x") as failure:
            failure.write(f"{text}\n")
    except FileExistsError:
        pass
    except OSError as problem:
        reason = f"{type(error).__name__}: {error}"
        log.log(f"cannot write {file} ({problem}); the reason is: {reason}", sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

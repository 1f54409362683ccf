"""A small training job that is killed several times, each time in a process of its own."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from classifier import bundle
from tests.train import head_jobs
from train import loop
from train.config import TrainConfig
from train.platform.stop import Stop
from train.recording.hooks import Hooks


def config(epochs: int, settings: Mapping[str, object]) -> TrainConfig:
    """Return a config with every kind of state, and a checkpoint after every step."""
    return TrainConfig.model_validate(
        {
            **{"architecture": "mobilenet_v3_small", "weights": "none", "trainable": "all"},
            **{
                "image_size": 32,
                "epochs": epochs,
                "batch_size": 32,
                "workers": 0,
                "export": "none",
            },
            **{"optimizer": "adamw", "ema": 0.9, "mixup": 0.2, "label_smoothing": 0.1},
            "checkpoint_minutes": 1e-9,
            "precision": "fp32",
            **settings,
        }
    )


class Pause(Stop):
    """Pauses the job after `checks` checks, so that a late kill still finds it alive.

    Raises:
        RuntimeError: nobody killed the job for two minutes, as no checkpoint could be saved.
    """

    def __init__(self, checks: int) -> None:
        super().__init__()
        self._checks = checks

    def check(self, number: int = 0) -> None:
        self._checks -= 1
        if self._checks < 0:
            time.sleep(120)
            raise RuntimeError("nobody killed the paused job: has it saved no checkpoint?")
        super().check(number)


def train(root: Path, data: Path, epochs: int, stop: Stop, settings: Mapping[str, object]) -> None:
    torch.set_num_threads(1)
    loop.train(config(epochs, settings), head_jobs.find(data), head_jobs.job(root), stop, Hooks())


def weights(root: Path) -> dict[str, torch.Tensor]:
    return bundle.load(root / "model").network.state_dict()


def survive(
    root: Path,
    data: Path,
    epochs: int,
    kills: int,
    seed: int,
    *,
    between: Callable[[], None] = lambda: None,
    settings: Mapping[str, object] = MappingProxyType({}),
) -> int:
    """Kill a job at `kills` random moments, then let it end; return how often it was killed.

    Each start is killed at a random moment after it has saved a checkpoint. Before that it checks
    for a stop at most three times, at the end of an epoch. `between` is called after each kill.
    """
    draw = random.Random(seed)  # noqa: S311
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.kill_and_resume"])
    killed = 0
    while True:
        stop = Pause(draw.randint(3, 5)) if killed < kills else Stop()
        process = context.Process(target=train, args=(root, data, epochs, stop, dict(settings)))
        process.start()
        assert process.pid
        if killed < kills:
            before = _saved(root)
            while _saved(root) == before and process.is_alive():
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.3))
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
        process.join()
        if process.exitcode != -signal.SIGKILL:
            assert process.exitcode == 0, process.exitcode
            return killed
        killed += 1
        between()


def _saved(root: Path) -> set[str]:
    return {path.name for path in (root / "checkpoints").glob("step-*")}

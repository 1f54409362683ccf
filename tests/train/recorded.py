"""A training job in this process on few digits, and its recording."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from classifier import bundle
from debugger import recording
from debugger.records import Record
from train import job as training
from train.platform.environment import Job
from train.platform.stop import Stop

SMALL: Mapping[str, object] = {
    "architecture": "mobilenet_v3_small",
    "weights": "none",
    "trainable": "all",
    "image_size": 32,
    "epochs": 2,
    "batch_size": 32,
    "workers": 0,
    "export": "none",
    "precision": "fp32",  # the same results on any processor
    "profiler_steps": "",
}

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Recorded:
    """A job and the folders that it writes to."""

    job: Job

    @classmethod
    def lay_out(cls, root: Path, digits: Path, **settings: object) -> "Recorded":
        for name in ("config", "checkpoints", "output"):
            (root / name).mkdir(parents=True, exist_ok=True)
        return cls(
            Job(
                channels={"train": digits},
                hyperparameters={**SMALL, **settings},
                model_dir=root / "model",
                output_dir=root / "output" / "data",
                failure_file=root / "output" / "failure",
                config_dir=root / "config",
                checkpoints=root / "checkpoints",
            )
        )

    def run(self, stop: Stop | None = None) -> "Recorded":
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            training.run(self.job, stop or Stop())
        finally:
            torch.set_num_threads(threads)
        return self

    @property
    def folder(self) -> Path:
        assert self.job.checkpoints
        return self.job.checkpoints / "recording"

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return bundle.load(self.job.model_dir).network.state_dict()

    def records(self, kind: type[R]) -> list[R]:
        return [record for record in recording.read(self.folder) if isinstance(record, kind)]

"""What is recorded, and where: the hyperparameters, and SageMaker's own config files over them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debugger.records import LOSSES
from train.config import TrainConfig

if TYPE_CHECKING:
    from train.job import Job

FOLDER = "recording"


@dataclass(frozen=True)
class Settings:
    """What a job records.

    `intervals` are steps between records, by collection; `window` is (first step, end) of
    torch.profiler; `notes` say what of SageMaker's files could not be followed.
    """

    folder: Path
    debugger: bool
    intervals: Mapping[str, int]
    raw: str
    rules: Mapping[str, Any]
    profiler: bool
    profiler_interval: float
    window: tuple[int, int] | None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: TrainConfig, job: "Job") -> "Settings":
        """Return those of a job."""
        first, _, end = config.profiler_steps.partition(":")
        return cls(
            folder=(job.checkpoints or job.output_dir) / FOLDER,
            debugger=config.debugger,
            intervals={
                name.strip(): 1 if name.strip() == LOSSES else config.debugger_interval
                for name in config.debugger_collections.split(",")
                if name.strip()
            },
            raw=config.debugger_raw,
            rules=json.loads(config.debugger_rules or "{}"),
            profiler=config.profiler,
            profiler_interval=config.profiler_interval,
            window=(int(first), int(end)) if end else None,
        )


def host() -> str:
    """Return this host's name, as SageMaker calls it."""
    return os.environ.get("SM_CURRENT_HOST", "algo-1")

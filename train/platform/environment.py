"""Where a process of a training job reads and writes, as SageMaker and torchrun set it up."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from train.platform import log


@dataclass(frozen=True)
class Job:
    """The folders, channels and hyperparameters of a job, and which of its processes this one is.

    `checkpoints` is None if the platform mounted no folder for them. `rank` counts the processes of
    all hosts, `local_rank` those of this host.
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
    world_size: int = 1
    local_world_size: int = 1

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Job":
        """Read sagemaker-training's SM_* variables and torchrun's."""
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
            world_size=int(env.get("WORLD_SIZE", "1")),
            local_world_size=int(env.get("LOCAL_WORLD_SIZE", "1")),
        )

    @property
    def is_main(self) -> bool:
        """Whether this process logs and writes for all of them."""
        return self.rank == 0

    def log(self, text: str) -> None:
        """Print a line, once for all processes."""
        if self.is_main:
            log.log(text)


def _checkpoint_folder(base: Path, job_name: str) -> Path | None:
    """Return the checkpoint folder; SageMaker mounts one when the job asks for checkpoints.

    Each job gets a folder of its own inside it, because AWS does not document whether the trials of
    a tuning job share theirs.
    """
    setting = base / "input" / "config" / "checkpointconfig.json"
    local = json.loads(setting.read_text()).get("LocalPath") if setting.is_file() else None
    root = Path(local) if local else base / "checkpoints"
    if not root.is_dir():
        return None
    folder = root / job_name
    folder.mkdir(parents=True, exist_ok=True)
    return folder

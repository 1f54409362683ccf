"""A run: what stays the same from its first step to its last."""

from dataclasses import dataclass

import torch

from classifier.transform import EvaluationTransform
from pictures.picture import Splits
from train.batches import augment
from train.batches.batch import Unreadable
from train.batches.decoded import DecodedCache
from train.config import TrainConfig
from train.platform.environment import Job
from train.platform.stop import Stop
from train.recording.hooks import Hooks


@dataclass(frozen=True)
class Run:
    """What stays the same throughout a run; TrainState holds what changes.

    Attributes:
        config: hyperparameters.
        splits: the pictures.
        job: where this process reads and writes, and its rank.
        stop: whether the job was asked to stop.
        hooks: where the run reports.
        device: trains and evaluates.
        precision: autocast's type; None is float32 throughout.
        transform: of evaluation.
        workers: decoding processes of this process.
        origin: of the pretrained weights.
        unreadable: the pictures that could not be read so far.
        decoded: cache of pictures that are used in several epochs.
    """

    config: TrainConfig
    splits: Splits
    job: Job
    stop: Stop
    hooks: Hooks
    device: torch.device
    precision: torch.dtype | None
    transform: EvaluationTransform
    workers: int
    origin: str
    unreadable: Unreadable
    decoded: DecodedCache | None = None

    @property
    def augments_on_device(self) -> bool:
        """Whether the device applies a policy, to a batch at once.

        `auto` is the workers, until a measurement on a GPU (benchmarks/gpu.sh) has shown otherwise.
        """
        return self.config.augment_on == "device"

    @property
    def training_transform(self) -> augment.Transform:
        """The random transform of the training pictures."""
        on_device = self.augments_on_device
        return augment.training_transform(self.config, self.transform, on_device=on_device)

    def autocast(self) -> torch.autocast:
        """Return a context manager for forward passes."""
        return torch.autocast(
            self.device.type, self.precision or torch.bfloat16, enabled=self.precision is not None
        )

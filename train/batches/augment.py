"""The random transform of the training pictures: crop, flip, policy."""

from dataclasses import dataclass

import torch
from torchvision.transforms import v2

from classifier.transform import EvaluationTransform
from train.batches.policy import ON_DEVICE, ON_WORKERS, Operations, Policy, draw
from train.config import TrainConfig


@dataclass(frozen=True)
class RandomTransform:
    """The first half of the training transform, to uint8 [3, crop, crop].

    `pixels` draws from torch's random state. So does `policy`, whose operations the device applies
    to the batch. The second half is that of `evaluation`. The shorter side of a decoded picture
    must have `at_least` pixels.
    """

    evaluation: EvaluationTransform
    at_least: int
    pixels: v2.Compose
    policy: Policy | None = None

    def operations(self, pixels: torch.Tensor) -> Operations:
        """Draw the operations that the device will apply to `pixels` [3, crop, crop]."""
        return draw(self.policy, pixels) if self.policy else ()


Transform = EvaluationTransform | RandomTransform


def is_random(config: TrainConfig) -> bool:
    """Whether the training pictures look different in each epoch."""
    return config.augment != "none" or config.horizontal_flip


def training_transform(
    config: TrainConfig, evaluation: EvaluationTransform, *, on_device: bool = False
) -> Transform:
    """Return the random transform of the training pictures.

    A crop of a quarter of the picture has at least 0.43 of its shorter side. With that side twice
    the crop's size, the smallest crops are enlarged by at most 1.15, and a large JPEG is decoded at
    a half, a quarter or an eighth of its size.

    Args:
        config: augment and horizontal_flip count here.
        evaluation: the network's own transform.
        on_device: leave a policy to the device that trains.
    """
    if not is_random(config):
        return evaluation
    interpolation = v2.InterpolationMode(evaluation.interpolation)
    steps: list[object] = []
    at_least = evaluation.at_least
    if config.augment == "none":
        steps.append(evaluation.resize_and_crop)
    else:
        at_least = 2 * evaluation.crop
        steps.append(
            v2.RandomResizedCrop(evaluation.crop, scale=(0.25, 1.0), interpolation=interpolation)
        )
    if config.horizontal_flip:
        steps.append(v2.RandomHorizontalFlip())
    policy = None
    if config.augment in ON_DEVICE and on_device:
        policy = ON_DEVICE[config.augment]()
    elif config.augment in ON_WORKERS:
        steps.append(ON_WORKERS[config.augment](interpolation=interpolation))
    pixels = v2.Compose([*steps, v2.PILToTensor()])
    return RandomTransform(evaluation, at_least, pixels, policy)

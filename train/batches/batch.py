"""A batch of pictures or features, and the pictures that could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from classifier.transform import EvaluationTransform
from pictures.picture import DataError, most_unreadable, too_many_unreadable
from train.batches.policy import Operations, apply
from train.platform.log import log


@dataclass(frozen=True)
class Batch:
    """images [B, 3, H, W], labels int64 [B]; `unreadable` lists (path, reason) of omitted pictures.

    Images are uint8 if `transform` is set, which then normalises them on the device: a quarter of
    the memory of float32, which they are otherwise. For a frozen backbone `images` can be features
    [B, F]. `operations` are the parts of each image's policy that the device applies.
    """

    images: torch.Tensor
    labels: torch.Tensor
    unreadable: tuple[tuple[str, str], ...] = ()
    transform: EvaluationTransform | None = None
    operations: tuple[Operations, ...] = ()

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory; the DataLoader calls this."""
        return replace(self, images=self.images.pin_memory(), labels=self.labels.pin_memory())

    def images_on(self, device: torch.device) -> torch.Tensor:
        """Return float32 images or features on a device, in its fastest memory format."""
        order = torch.channels_last if self.images.ndim == 4 else torch.preserve_format
        images = self.images.to(device, non_blocking=True, memory_format=order)
        if not self.transform:
            return images
        if any(self.operations):
            images = apply(images, self.operations, self.transform.interpolation)
        return self.transform.normalise(images)


# A decoded picture, its label and its operations; or the path and the reason why it is unreadable.
Item = tuple[torch.Tensor, int, Operations] | tuple[str, str]


def collate(transform: EvaluationTransform, items: Sequence[Item]) -> Batch:
    """Stack the pictures that could be read, perhaps none; `transform` normalises them later."""
    good = [item for item in items if len(item) == 3]
    bad = tuple(item for item in items if len(item) == 2)
    # The decoder returns pixels channels last, and they stay so.
    pixels = [one.permute(1, 2, 0) for one, *_ in good]
    empty = torch.empty(0, transform.crop, transform.crop, 3, dtype=torch.uint8)
    images = (torch.stack(pixels) if pixels else empty).permute(0, 3, 1, 2)
    labels = torch.tensor([label for _, label, _ in good], dtype=torch.long)
    return Batch(images, labels, bad, transform, tuple(drawn for *_, drawn in good))


class Unreadable:
    """Counts the pictures that cannot be read, logs each once, and fails above the limit."""

    def __init__(self, share: float, total: int) -> None:
        self.share, self.total = share, total
        self.limit = most_unreadable(share, total)
        self.found: dict[str, str] = {}

    def add(self, unreadable: Sequence[tuple[str, str]]) -> None:
        """Add the unreadable pictures of one batch, as (path, reason).

        Raises:
            DataError: more than `limit` so far.
        """
        for path, reason in unreadable:
            if path not in self.found:
                self.found[path] = reason
                log(f"skipped unreadable picture {path}: {reason}")
        if len(self.found) > self.limit:
            raise DataError(too_many_unreadable(self.found, self.total, self.share))

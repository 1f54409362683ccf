"""A batch of pictures or features, and the pictures that could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torchvision.transforms.v2 import functional as F

from classifier.transform import EvaluationTransform
from pictures.picture import DataError, most_unreadable, shorten, too_many_unreadable
from train.batches.policy import Operations, apply
from train.platform.log import log


@dataclass(frozen=True)
class Batch:
    """images [B, 3, H, W], labels int64 [B]; `unreadable` lists (path, reason) of omitted pictures.

    `remarks` lists (path, remark) of pictures that were read with an assumption. `names` are those
    of the pictures, where the report shows the wrong answers.

    Images are uint8 if `transform` is set, which then normalises them on the device: a quarter of
    the memory of float32, which they are otherwise. For a frozen backbone `images` can be features
    [B, F]. `operations` are the parts of each image's policy that the device applies.
    """

    images: torch.Tensor
    labels: torch.Tensor
    unreadable: tuple[tuple[str, str], ...] = ()
    transform: EvaluationTransform | None = None
    operations: tuple[Operations, ...] = ()
    remarks: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()

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
        return normalise(images, self.transform)


def normalise(pixels: torch.Tensor, transform: EvaluationTransform) -> torch.Tensor:
    """Return float32 of uint8 [..., 3, H, W], on its device and in its memory layout.

    The numbers are those of `EvaluationTransform.normalise`.
    """
    scaled = F.to_dtype(pixels, torch.float32, scale=True)
    normalised: torch.Tensor = F.normalize(scaled, list(transform.mean), list(transform.std))
    return normalised


# (path, remark) of a picture that was read with an assumption
Remarks = tuple[tuple[str, str], ...]
# A decoded picture, its label, its operations and remarks; or the path and why it is unreadable.
Item = tuple[torch.Tensor, int, Operations, Remarks] | tuple[str, str]


def collate(transform: EvaluationTransform, items: Sequence[Item]) -> Batch:
    """Stack the pictures that could be read, perhaps none; `transform` normalises them later."""
    good = [item for item in items if len(item) == 4]
    bad = tuple(item for item in items if len(item) == 2)
    # The decoder returns pixels channels last, and they stay so.
    pixels = [one.permute(1, 2, 0) for one, *_ in good]
    empty = torch.empty(0, transform.crop, transform.crop, 3, dtype=torch.uint8)
    images = (torch.stack(pixels) if pixels else empty).permute(0, 3, 1, 2)
    labels = torch.tensor([label for _, label, *_ in good], dtype=torch.long)
    operations = tuple(drawn for *_, drawn, _ in good)
    remarks = tuple(one for *_, own in good for one in own)
    return Batch(images, labels, bad, transform, operations, remarks)


class Unreadable:
    """Counts the pictures that cannot be read, logs each once, and fails above the limit.

    Pictures that were read with an assumption are counted by what was assumed.
    """

    def __init__(self, share: float, total: int) -> None:
        self.share, self.total = share, total
        self.limit = most_unreadable(share, total)
        self.found: dict[str, str] = {}
        self.remarks: dict[str, dict[str, None]] = {}  # remark -> paths
        self._logged: dict[str, int] = {}

    def add(self, unreadable: Sequence[tuple[str, str]], remarks: Remarks = ()) -> None:
        """Add the unreadable pictures of one batch, as (path, reason), and the remarks.

        Raises:
            DataError: more than `limit` so far.
        """
        for path, reason in unreadable:
            if path not in self.found:
                self.found[path] = reason
                log(f"skipped unreadable picture {path}: {reason}")
        if len(self.found) > self.limit:
            raise DataError(too_many_unreadable(self.found, self.total, self.share))
        for path, remark in remarks:
            self.remarks.setdefault(remark, {})[path] = None

    def counts(self) -> dict[str, int]:
        """Return the number of pictures for each remark."""
        return {remark: len(paths) for remark, paths in sorted(self.remarks.items())}

    def log_remarks(self) -> None:
        """Log the remarks that are new or apply to more pictures than at the last call."""
        for remark, count in self.counts().items():
            if self._logged.get(remark) != count:
                self._logged[remark] = count
                log(f"{count} pictures, {shorten(list(self.remarks[remark]), 3)}: {remark}")

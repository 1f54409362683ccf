"""Pictures into batches: decoding in workers, random transforms, a repeatable order.

Every picture's random transform depends on (seed, epoch, picture) alone: not on the number of
workers, and not on where a job was interrupted.
"""

import functools
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from classifier.transform import EvaluationTransform
from pictures.decoder import ImageError, decode
from pictures.picture import DataError, Picture
from pictures.shards import ShardError, read_together
from train.batches.decoded import Decoded
from train.batches.policy import ON_DEVICE, ON_WORKERS, Operations, Policy, apply, draw
from train.config import TrainConfig

PREFETCH = 2  # batches each worker keeps ready: torch's default, named for the memory estimate
LEAST_BATCH = 64  # pictures, where no gradients are kept: evaluation, a frozen backbone
_SHM = Path("/dev/shm")  # noqa: S108 (where torch's workers put their batches)


@dataclass(frozen=True)
class Batch:
    """images [B, 3, H, W], labels int64 [B]; `unreadable` are (path, reason) left out.

    Pixels are uint8, a quarter of what they are once `transform` normalised them on the device;
    where there is none they are float32 already. Of a frozen backbone, `images` may be features
    [B, F]. `operations` are those of each image's policy that are left for the device.
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
        """Return float32 images, or features, on a device, in the order that is fast there."""
        order = torch.channels_last if self.images.ndim == 4 else torch.preserve_format
        images = self.images.to(device, non_blocking=True, memory_format=order)
        if not self.transform:
            return images
        if any(self.operations):
            images = apply(images, self.operations, self.transform.interpolation)
        return self.transform.normalise(images)


Key = tuple[int, int]  # epoch and index of a picture
Item = tuple[torch.Tensor, int, Operations] | tuple[str, str]  # picture and label; path and reason


@dataclass(frozen=True)
class RandomTransform:
    """The first half of the transform for training, to uint8 [3, crop, crop].

    `pixels` draws from torch's random state, and so does `policy`, whose operations are done where
    the batch is; the second half is that of `evaluation`; the shorter side of a picture is needed
    with `at_least` pixels.
    """

    evaluation: EvaluationTransform
    at_least: int
    pixels: v2.Compose
    policy: Policy | None = None

    def operations(self, pixels: torch.Tensor) -> Operations:
        """Draw what the batch's device is to do to `pixels` [3, crop, crop]."""
        return draw(self.policy, pixels) if self.policy else ()


Transform = EvaluationTransform | RandomTransform


class Pictures(Dataset[Item]):
    """Decoded pictures by (epoch, index), as pixels [3, crop, crop].

    `decoded` keeps what was decoded for later epochs.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        transform: Transform,
        seed: int,
        decoded: Decoded | None = None,
    ) -> None:
        self.pictures = pictures
        self.transform = transform
        self.seed = seed
        self.decoded = decoded

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, key: Key) -> Item:
        return self._item(key)

    def __getitems__(self, keys: Sequence[Key]) -> list[Item]:
        """Return a batch's items; pictures that lie side by side in a shard are read together."""
        wanted = [i for _, i in keys if self.decoded is None or i not in self.decoded]
        packed = {i: place for i in wanted if (place := self.pictures[i].place)}
        contents = dict(zip(packed, read_together(list(packed.values())), strict=True))
        return [self._item(key, contents.pop(key[1], None)) for key in keys]

    def _item(self, key: Key, content: bytes | ShardError | OSError | None = None) -> Item:
        epoch, index = key
        picture = self.pictures[index]
        try:
            image = self.decoded.get(index) if self.decoded else None
            if image is None:
                image = self._decode(index, content)
        except (ImageError, ShardError, OSError) as error:
            return str(picture.path), str(error)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(self.seed, epoch, index))
            pixels = self.transform.pixels(image)
            if isinstance(self.transform, EvaluationTransform):
                return pixels, picture.label, ()
            return pixels, picture.label, self.transform.operations(pixels)

    def _decode(self, index: int, content: bytes | ShardError | OSError | None) -> Image.Image:
        if isinstance(content, Exception):
            raise content
        content = self.pictures[index].read() if content is None else content
        image = decode(content, at_least=self.transform.at_least)
        if self.decoded is not None:
            self.decoded.put(index, image)
        return image


def mix(*numbers: int) -> int:
    """Return one well-spread 63-bit seed for a tuple of numbers, the same on every machine."""
    value = 0x9E3779B97F4A7C15
    for number in numbers:  # the finaliser of SplitMix64 (Steele et al. 2014) over each number
        value = (value ^ (number + 0x9E3779B97F4A7C15)) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        value ^= value >> 31
    return value >> 1


def collate(transform: EvaluationTransform, items: Sequence[Item]) -> Batch:
    """Stack what could be read; `transform` says how it is to be normalised."""
    good = [item for item in items if len(item) == 3]
    bad = tuple(item for item in items if len(item) == 2)
    # Pixels come as the decoder lays them, channels last, and stay so.
    images = torch.stack([one.permute(1, 2, 0) for one, *_ in good]) if good else torch.empty(0)
    if good:
        images = images.permute(0, 3, 1, 2)
    labels = torch.tensor([label for _, label, _ in good], dtype=torch.long)
    return Batch(images, labels, bad, transform, tuple(drawn for *_, drawn in good))


class Order:
    """Which pictures make which batch of an epoch, for one process of several.

    Training shuffles by (seed, epoch) and leaves out a picture that would be a batch of its own;
    evaluation takes each picture once, in order. The batches are the same whatever the number of
    processes, whose shares of one differ by at most one picture and may be empty. `epoch` and
    `first` say where to begin. Where `lay` tells in which order the pictures lie, runs of `block`
    that lie side by side are shuffled in place of pictures, each with its neighbours in a process.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int | None,
        rank: int = 0,
        world: int = 1,
        lay: Sequence[int] | None = None,
        block: int = 1,
    ) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.rank, self.world = rank, world
        self._lay, self._block = lay, block
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        return len(self._starts()) - self.first

    def __iter__(self) -> Iterator[list[Key]]:
        if self.seed is None:
            indices = list(range(self.count))
        else:
            indices = self._shuffled(mix(self.seed, self.epoch))
        for start in self._starts()[self.first :]:
            together = indices[start : start + self.batch_size]
            if self._lay is None or self.seed is None:
                own = together[self.rank :: self.world]
            else:
                first, last = (len(together) * (self.rank + n) // self.world for n in (0, 1))
                own = together[first:last]
            yield [(self.epoch, index) for index in own]

    def _shuffled(self, seed: int) -> list[int]:
        draw = torch.Generator().manual_seed(seed)
        if self._lay is None:
            return torch.randperm(self.count, generator=draw).tolist()
        # Blocks begin elsewhere in each epoch, so that others lie together.
        offset = int(torch.randint(self._block, (), generator=draw))
        cuts = [0, *range(offset or self._block, self.count, self._block), self.count]
        blocks = [self._lay[a:b] for a, b in itertools.pairwise(cuts)]
        places = torch.randperm(len(blocks), generator=draw).tolist()
        return [index for place in places for index in blocks[place]]

    def _starts(self) -> range:
        count = self.count
        if self.seed is not None and count % self.batch_size == 1 < count:
            count -= 1  # batch norm cannot train on one picture
        return range(0, count, self.batch_size)


def lay(pictures: Sequence[Picture]) -> list[int] | None:
    """Return the pictures' indices in the order in which they lie in shards; None without."""
    places = {i: one.place for i, one in enumerate(pictures) if one.place}
    if len(places) < len(pictures):
        return None
    return sorted(places, key=lambda i: (places[i].shard, places[i].start))


def training_transform(
    config: TrainConfig, evaluation: EvaluationTransform, *, on_device: bool = False
) -> Transform:
    """Return the random transform of the training pictures; a policy is left to the device if told.

    A crop of a quarter of the picture has at least 0.43 of its shorter side; with that side twice
    the crop's size, the smallest crops are enlarged by 1.15 at most, and a large JPEG is decoded in
    a half, a quarter or an eighth of its size.
    """
    if config.augment == "none" and not config.horizontal_flip:
        return evaluation
    interpolation = v2.InterpolationMode(evaluation.interpolation)
    steps: list[object] = []
    at_least = evaluation.at_least
    if config.augment == "none":
        steps += [
            v2.Resize(evaluation.resize, interpolation=interpolation),
            v2.CenterCrop(evaluation.crop),
        ]
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


def loader(
    dataset: Pictures,
    order: Order | Sequence[list[Key]],
    *,
    workers: int,
) -> DataLoader[Item]:
    """Return an iterable of Batch in the order given; iterate it once an epoch."""
    transform = dataset.transform
    evaluation = transform if isinstance(transform, EvaluationTransform) else transform.evaluation
    return DataLoader(
        dataset,
        batch_sampler=order,  # keys are (epoch, index)
        num_workers=workers,
        collate_fn=functools.partial(collate, evaluation),
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        prefetch_factor=PREFETCH if workers else None,
    )


def worker_count(config: TrainConfig, crop: int, processes: int) -> tuple[int, str]:
    """Return the number of decoding workers a process, and a note where memory limits it.

    Workers hand batches over in shared memory; with Docker's default of 64 MiB they would die with
    a bus error, so there are only as many as fit.
    """
    wanted = config.workers
    if wanted is None:
        wanted = max(1, min(16, len(os.sched_getaffinity(0)) // processes))
    batch_bytes = 3 * crop * crop * -(-max(config.batch_size, LEAST_BATCH) // processes)
    free = shutil.disk_usage(_SHM).free if _SHM.is_dir() else 0
    # One batch more for the one in the loop's hands; half is left for other processes.
    fitting = max(0, (free // 2 // processes // batch_bytes - 1) // PREFETCH)
    if wanted <= fitting:
        return wanted, ""
    return fitting, (
        f"shared memory ({_SHM}: {free / 2**20:.0f} MiB free) holds batches of {fitting} workers, "
        f"not {wanted}: decoding with {fitting or 'none'}; "
        "give the container more with `docker run --shm-size 4g`"
    )


def class_weights(pictures: Sequence[Picture], classes: int) -> torch.Tensor:
    """Return float32 [classes]: inverse frequency, 1 on average over the pictures."""
    counts = torch.bincount(torch.tensor([one.label for one in pictures]), minlength=classes)
    return len(pictures) / (len(counts) * counts)


class Unreadable:
    """Counts the pictures that could not be read, names each once, and fails past the limit."""

    def __init__(self, share: float, total: int) -> None:
        self.limit = -int(-share * total // 1)  # rounded up
        self.total = total
        self.found: dict[str, str] = {}

    def add(self, unreadable: Sequence[tuple[str, str]]) -> None:
        """Take one batch's.

        Raises:
            DataError: more than `limit` in all.
        """
        for path, reason in unreadable:
            if path not in self.found:
                self.found[path] = reason
                print(f"skipped unreadable picture {path}: {reason}", flush=True)
        if len(self.found) > self.limit:
            first = "\n  ".join(
                f"{path}: {reason}" for path, reason in list(self.found.items())[:10]
            )
            raise DataError(
                f"{len(self.found)} of {self.total} pictures cannot be read, {self.limit} are "
                f"allowed (max_unreadable); mend or remove them, or raise it:\n  {first}"
            )

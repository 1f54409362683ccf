"""Pictures into batches: read, decoded and transformed in worker processes.

Every picture's random transform depends on (seed, epoch, picture) alone: not on the number of
workers, and not on where a job was interrupted.
"""

import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from classifier.transform import EvaluationTransform
from pictures import decoder
from pictures.decoder import ImageError
from pictures.picture import Picture
from pictures.shards import ShardError, read_together
from train.batches.augment import Transform
from train.batches.batch import Item, collate
from train.batches.decoded import Decoded
from train.batches.order import LEAST_BATCH, Key, Order, mix
from train.batches.policy import Operations
from train.config import TrainConfig

PREFETCH = 2  # batches each worker keeps ready: torch's default, named for the memory estimate
_SHM = Path("/dev/shm")  # noqa: S108 (where torch's workers put their batches)


class Pictures(Dataset[Item]):
    """Decoded pictures by (epoch, index), as pixels [3, crop, crop].

    `decoded` caches decoded pictures for later epochs.
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
        """Return a batch's items; neighbours in a shard are read together."""
        wanted = [i for _, i in keys if self.decoded is None or i not in self.decoded]
        packed = {i: place for i in wanted if (place := self.pictures[i].place)}
        contents = dict(zip(packed, read_together(list(packed.values())), strict=True))
        return [self._item(key, contents.pop(key[1], None)) for key in keys]

    def _item(self, key: Key, content: bytes | ShardError | OSError | None = None) -> Item:
        epoch, index = key
        picture = self.pictures[index]
        try:
            image = self.decoded.get(index) if self.decoded else None
            remarks: tuple[str, ...] = ()
            if image is None:
                image, remarks = self._decode(index, content)
        except (ImageError, ShardError, OSError) as error:
            return str(picture.path), str(error)
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would also seed the GPUs: 0.3 to 0.8 ms for each picture.
            torch.default_generator.manual_seed(mix(self.seed, epoch, index))
            drawn: Operations = ()
            if isinstance(self.transform, EvaluationTransform):
                pixels = torch.from_numpy(self.transform.pixels(image)).permute(2, 0, 1)
            else:
                pixels = self.transform.pixels(image)
                drawn = self.transform.operations(pixels)
            return pixels, picture.label, drawn, tuple((str(picture.path), one) for one in remarks)

    def _decode(
        self, index: int, content: bytes | ShardError | OSError | None
    ) -> tuple[Image.Image, tuple[str, ...]]:
        if isinstance(content, Exception):
            raise content
        content = self.pictures[index].read() if content is None else content
        decoded = decoder.read(content, at_least=self.transform.at_least)
        if self.decoded is not None:
            self.decoded.put(index, decoded.image)
        return decoded.image, decoded.remarks


def loader(
    dataset: Pictures,
    order: Order | Sequence[list[Key]],
    *,
    workers: int,
) -> DataLoader[Item]:
    """Return an iterable of Batch in the given order; iterate it once an epoch."""
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
    """Return the number of decoding workers of each process, and a note if memory limits it.

    Workers pass batches in shared memory. With Docker's default of 64 MiB they would die of a bus
    error, so there are only as many workers as fit.
    """
    wanted = config.workers
    if wanted is None:
        wanted = max(1, min(16, len(os.sched_getaffinity(0)) // processes))
    batch_bytes = 3 * crop * crop * -(-max(config.batch_size, LEAST_BATCH) // processes)
    free = shutil.disk_usage(_SHM).free if _SHM.is_dir() else 0
    # The loop holds one more batch; half of the memory is left for other processes.
    fitting = max(0, (free // 2 // processes // batch_bytes - 1) // PREFETCH)
    if wanted <= fitting:
        return wanted, ""
    return fitting, (
        f"shared memory ({_SHM}: {free / 2**20:.0f} MiB free) holds the batches of {fitting} "
        f"workers, not {wanted}: decoding with {fitting or 'no'} workers; "
        "give the container more with `docker run --shm-size 4g`"
    )

"""Which pictures form which batch: repeatable, and the same for any number of processes."""

import itertools
from collections.abc import Iterator, Sequence

import torch

from pictures.picture import Picture
from train.config import TrainConfig
from train.platform.environment import Job

LEAST_BATCH = 64  # pictures in a batch without gradients: evaluation, a frozen backbone
Key = tuple[int, int]  # epoch and index of a picture


def mix(*numbers: int) -> int:
    """Return one well-spread 63-bit seed for a tuple of numbers, the same on every machine."""
    value = 0x9E3779B97F4A7C15
    for number in numbers:  # the finaliser of SplitMix64 (Steele et al. 2014) over each number
        value = (value ^ (number + 0x9E3779B97F4A7C15)) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        value ^= value >> 31
    return value >> 1


class Order:
    """The batches of an epoch for one of several processes, as lists of (epoch, index).

    Training shuffles by (seed, epoch) and omits a picture that would be a batch of its own.
    Evaluation takes each picture once, in order. The batches do not depend on the number of
    processes; the processes' shares of a batch differ by at most one picture and can be empty.
    `epoch` and `first` say where to begin. If `layout` gives the order of the pictures in their
    shards, blocks of `block` neighbours are shuffled instead of single pictures, and a process gets
    neighbours.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int | None,
        rank: int = 0,
        world_size: int = 1,
        layout: Sequence[int] | None = None,
        block: int = 1,
    ) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self._layout, self._block = layout, block
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        return len(self._starts()) - self.first

    def __iter__(self) -> Iterator[list[Key]]:
        if self.seed is None:
            indices = list(range(self.count))
        else:
            indices = self._shuffled(mix(self.seed, self.epoch))
        for start in self._starts()[self.first :]:
            batch = indices[start : start + self.batch_size]
            yield [(self.epoch, index) for index in batch[self._share(len(batch), self.rank)]]

    def shares(self, batch: int) -> tuple[int, ...]:
        """Return how many pictures of an epoch's batch each process has, counted from 0."""
        start = self._starts()[batch]
        count = min(self.batch_size, self.count - start)
        ranks = range(self.world_size)
        return tuple(len(range(count)[self._share(count, rank)]) for rank in ranks)

    def _share(self, count: int, rank: int) -> slice:
        if self._layout is None or self.seed is None:
            return slice(rank, None, self.world_size)
        return slice(count * rank // self.world_size, count * (rank + 1) // self.world_size)

    def _shuffled(self, seed: int) -> list[int]:
        draw = torch.Generator().manual_seed(seed)
        if self._layout is None:
            return torch.randperm(self.count, generator=draw).tolist()
        # Blocks begin at another picture in each epoch, so that the neighbours change.
        offset = int(torch.randint(self._block, (), generator=draw))
        cuts = [0, *range(offset or self._block, self.count, self._block), self.count]
        blocks = [self._layout[a:b] for a, b in itertools.pairwise(cuts)]
        places = torch.randperm(len(blocks), generator=draw).tolist()
        return [index for place in places for index in blocks[place]]

    def _starts(self) -> range:
        count = self.count
        if self.seed is not None and count % self.batch_size == 1 < count:
            count -= 1  # batch norm cannot train on one picture
        return range(0, count, self.batch_size)


def training_order(
    config: TrainConfig, pictures: Sequence[Picture], job: Job | None = None
) -> Order:
    """Return the shuffled batches of the training pictures, or a process's share of each.

    Args:
        config: batch_size, seed and shuffle_block count here.
        pictures: for training.
        job: the process; None takes whole batches.
    """
    return Order(
        len(pictures),
        config.batch_size,
        seed=config.seed,
        rank=job.rank if job else 0,
        world_size=job.world_size if job else 1,
        layout=shard_layout(pictures) if config.shuffle_block > 1 else None,
        block=config.shuffle_block,
    )


def evaluation_order(count: int, job: Job, batch_size: int = LEAST_BATCH) -> Order:
    """Return a process's share of the batches of `count` pictures, in order."""
    return Order(count, batch_size, seed=None, rank=job.rank, world_size=job.world_size)


def shard_layout(pictures: Sequence[Picture]) -> list[int] | None:
    """Return the pictures' indices in the order of the shards; None if they are not in shards."""
    places = {i: one.place for i, one in enumerate(pictures) if one.place}
    if len(places) < len(pictures):
        return None
    return sorted(places, key=lambda i: (places[i].shard, places[i].start))

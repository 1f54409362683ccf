"""Several processes train as one process would on the same batch: gradients, statistics, figures.

Each process has a share of the batch. An empty share takes part too, with weight 0.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pictures.digest import digest
from pictures.picture import DataError, Splits
from pictures.shards import ShardError
from train.batches.batch import Unreadable
from train.learning.evaluate import Scores

SAMPLED = 200  # pictures whose contents are compared between the hosts


def wrap(network: nn.Module) -> nn.Module:
    """Return the module to call in training; it averages gradients over the processes."""
    if not dist.is_initialized():
        return network
    # Buffers are equal already: batch norm is frozen, or its statistics are of all processes.
    return DistributedDataParallel(network, forward_sync_buffers=False)


def total(weight: torch.Tensor) -> torch.Tensor:
    """Return the sum of a scalar over all processes, at least 1e-12."""
    summed = weight.double()
    if dist.is_initialized():
        dist.all_reduce(summed)
    return summed.clamp(min=1e-12)


def figures(
    loss: torch.Tensor, weight: torch.Tensor, right: torch.Tensor, count: int
) -> torch.Tensor:
    """Return a step's figures over all processes, float64 [3]: summed loss, right, pictures.

    Args:
        loss: the mean of this process, a scalar.
        weight: the divisor of that mean, a scalar: the number of pictures, or their class weights.
        right: the number of right answers, a scalar.
        count: the pictures of this process.
    """
    mean, right, here = loss.detach().double(), right.double(), weight.new_full((), count).double()
    if not dist.is_initialized():
        return torch.stack([mean * count, right, here])
    sums = torch.stack([mean * weight, weight.double(), right, here])
    dist.all_reduce(sums)
    summed, weights, right_, count_ = sums
    return torch.stack([summed / weights.clamp(min=1e-12) * count_, right_, count_])


def gather(scores: Scores) -> Scores:
    """Return scores with the logits of all processes."""
    if not dist.is_initialized():
        return scores
    kept = [(s, t) for s, t in all_gather((scores.logits, scores.labels)) if s is not None]
    if not kept:
        return scores
    logits, labels = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return replace(scores, logits=logits, labels=labels)


def gather_unreadable(unreadable: Unreadable) -> None:
    """Tell every process which pictures the others could not read; log the remarks of all.

    Raises:
        DataError: too many pictures in all.
    """
    if dist.is_initialized():
        found: Mapping[str, str]
        for found in all_gather(unreadable.found):
            unreadable.found |= found
        unreadable.add(())
        remarks: Mapping[str, dict[str, None]]
        for remarks in all_gather(unreadable.remarks):
            for remark, paths in remarks.items():
                unreadable.remarks.setdefault(remark, {}).update(paths)
    if not dist.is_initialized() or dist.get_rank() == 0:
        unreadable.log_remarks()


def check_same_pictures(splits: Splits) -> None:
    """Check that every process has the same pictures: names, classes, sizes, split, contents.

    The contents of SAMPLED pictures are compared, spread over all parts.

    Raises:
        DataError: they differ, for example because S3 objects are sharded over the hosts.
    """
    found = digest(splits)
    if len(set(all_gather(found.pictures))) > 1:
        raise DataError(
            "the hosts have different pictures, and each needs all: set the channels' "
            "S3DataDistributionType to FullyReplicated"
        )
    if len(set(all_gather((found.split, _contents(splits))))) > 1:
        raise DataError(
            "the hosts have pictures of the same names and sizes, but with other contents or in "
            "another split: give all hosts the same channels, and do not change them during a job"
        )


def _contents(splits: Splits) -> str:
    """Return a digest of the contents of SAMPLED pictures."""
    everything = [one for part in splits.parts().values() for one in part]
    everything.sort(key=lambda one: (one.label, one.own_name))
    contents = hashlib.sha256()
    for one in everything[:: max(1, len(everything) // SAMPLED)]:
        with contextlib.suppress(OSError, ShardError):  # counted when it is used
            contents.update(hashlib.sha256(one.read()).digest())
    return contents.hexdigest()


def broadcast(value: Any) -> Any:
    """Return the main process's value in every process."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier() -> None:
    """Wait until every process has reached this line."""
    all_gather(None)


def all_gather(own: Any) -> list[Any]:
    """Return the values of all processes, by rank."""
    if not dist.is_initialized():
        return [own]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, own)
    return found

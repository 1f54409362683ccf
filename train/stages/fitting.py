"""The largest batch that fits in the GPUs' memory, found before training with blank pictures.

Several processes decide together: a batch that is too large for one GPU is too large for all. So
all of them try the same sizes, in the same order.
"""

from collections.abc import Callable

import torch
from torch import nn

from train.learning import optimizer, parallel
from train.learning.batch_norm import alone
from train.state.run import Run

MOST = 4096  # pictures on each GPU
SHARE = 0.9  # of its memory: the rest is for needs that come and go

Trial = Callable[[int], None]  # takes a step with so many pictures


def batch_size(run: Run, network: nn.Module) -> int:
    """Return the pictures of a step over all processes: a power of two for each GPU and part.

    On CPUs, whose memory is not the limit, it is `batch_size`.
    """
    if run.device.type != "cuda":
        run.job.log(f"batch_size {run.config.batch_size}: there is no GPU to fit it to")
        return run.config.batch_size
    return fit(run, network, lambda pictures: _trial(run, network, pictures))


def fit(run: Run, network: nn.Module, trial: Trial) -> int:
    """Return the pictures of a step over all processes.

    Args:
        run: the run.
        network: is restored afterwards.
        trial: takes a step with so many pictures in this process; raises torch.OutOfMemoryError if
            they do not fit. It must not wait for other processes, because one that has no memory
            left in the middle of its step would not come.
    """
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer.set_training_mode(network, freeze_batch_norm=run.config.freeze_batch_norm)
    with alone(network):
        each = largest(lambda pictures: fits_all(trial, pictures), MOST)
    network.load_state_dict(before)
    found: int = max(2, each * run.job.world_size) * run.config.accumulate
    run.job.log(f"batch_size {found}: the largest that fits")
    return found


def largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest power of two up to `most` that fits; 1 if none does."""
    size = 1
    while 2 * size <= most and fits(2 * size):
        size *= 2
    return size


def fits_all(trial: Trial, pictures: int) -> bool:
    """Whether a step with so many pictures fits in every process; all return the same."""
    try:
        trial(pictures)
    except torch.OutOfMemoryError:
        return all(parallel.all_gather(False))
    return all(parallel.all_gather(True))


def _trial(run: Run, network: nn.Module, pictures: int) -> None:
    """Take a step on the GPU.

    Raises:
        torch.OutOfMemoryError: it needs more than SHARE of the memory.
    """
    device = run.device
    try:
        torch.cuda.reset_peak_memory_stats(device)
        step(run, network, pictures)
        used = torch.cuda.max_memory_reserved(device)
        memory = torch.cuda.get_device_properties(device).total_memory
        if used >= SHARE * memory:
            raise torch.OutOfMemoryError(f"{used:,} of {memory:,} bytes")
    finally:
        network.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()


def step(run: Run, network: nn.Module, pictures: int) -> None:
    """Compute gradients on blank pictures."""
    crop = run.transform.crop
    images = torch.zeros(pictures, 3, crop, crop, device=run.device)
    with run.autocast():
        loss = network(images.to(memory_format=torch.channels_last)).float().logsumexp(1).sum()
    loss.backward()

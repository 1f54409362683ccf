"""The largest batch that fits in the GPU's memory, found before training with blank pictures."""

from collections.abc import Callable

import torch
from torch import nn

from train.learning import optimizer, parallel
from train.state.run import Run

MOST = 4096  # pictures on each GPU
SHARE = 0.9  # of its memory: the rest is for needs that come and go


def batch_size(run: Run, network: nn.Module) -> int:
    """Return the pictures of a step over all processes: a power of two for each GPU and part.

    On CPUs, whose memory is not the limit, it is `batch_size`.
    """
    if run.device.type != "cuda":
        run.job.log(f"batch_size {run.config.batch_size}: there is no GPU to fit it to")
        return run.config.batch_size
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer.set_training_mode(network, freeze_batch_norm=run.config.freeze_batch_norm)
    each = largest(lambda pictures: _fits(run, network, pictures), MOST)
    network.load_state_dict(before)
    found: int = max(2, min(parallel.all_gather(each)) * run.job.world_size) * run.config.accumulate
    run.job.log(f"batch_size {found}: the largest that fits")
    return found


def largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest power of two up to `most` that fits; 1 if none does."""
    size = 1
    while 2 * size <= most and fits(2 * size):
        size *= 2
    return size


def _fits(run: Run, network: nn.Module, pictures: int) -> bool:
    """Whether a step with so many pictures leaves memory free."""
    crop, device = run.transform.crop, run.device
    try:
        torch.cuda.reset_peak_memory_stats(device)
        images = torch.zeros(pictures, 3, crop, crop, device=device)
        with run.autocast():
            loss = network(images.to(memory_format=torch.channels_last)).float().logsumexp(1).sum()
        loss.backward()
        used = torch.cuda.max_memory_reserved(device)
        return used < SHARE * torch.cuda.get_device_properties(device).total_memory
    except torch.OutOfMemoryError:
        return False
    finally:
        network.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()

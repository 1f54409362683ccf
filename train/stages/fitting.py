"""The largest batch that the GPU's memory holds, tried out before training on made-up pictures."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from train.learning import optimizer, parallel

if TYPE_CHECKING:
    from train.state.run import Run

MOST = 4096  # pictures a GPU
SHARE = 0.9  # of its memory: what else training needs comes and goes


def batch_size(run: "Run", network: nn.Module) -> int:
    """Return pictures a step over all processes: for each GPU a power of two, `accumulate` times.

    On CPUs, whose memory is not the limit, what `batch_size` says.
    """
    if run.device.type != "cuda":
        run.say(f"batch_size {run.config.batch_size}: there is no GPU to fit it to")
        return run.config.batch_size
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer.set_training_mode(network, freeze_batch_norm=run.config.freeze_batch_norm)
    each = largest(lambda pictures: _fits(run, network, pictures), MOST)
    network.load_state_dict(before)
    found: int = max(2, min(parallel.everyones(each)) * run.job.world) * run.config.accumulate
    run.say(f"batch_size {found}: the largest that fits")
    return found


def largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest power of two up to `most` that fits, 1 if none does."""
    size = 1
    while 2 * size <= most and fits(2 * size):
        size *= 2
    return size


def _fits(run: "Run", network: nn.Module, pictures: int) -> bool:
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

"""A learning rate from a short trial run at rising rates; afterwards the weights are restored.

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks". The result is a tenth of
the rate with the lowest loss, as fastai's `minimum`.
"""

import csv
import itertools
import math
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from train.batches.batch import Batch
from train.batches.order import Order, mix
from train.learning import optimizer
from train.learning.gradients import Gradients, enough
from train.recording.hooks import Step
from train.state.run import Run

STEPS = 100
LEAST, MOST = 1e-6, 10.0  # of the head's rate; the backbone's keeps its ratio to it
SMOOTH = 0.9  # weight of the earlier steps in the smoothed loss
LOST = 4.0  # the run ends when the loss is so many times the lowest


def find(
    run: Run,
    network: nn.Module,
    model: nn.Module,
    batches: Iterable[Batch],
    order: Order,
) -> float:
    """Return the head's learning rate, and write the curve to learning_rate.csv.

    Args:
        run: the run.
        network: is trained and then restored.
        model: takes the batches.
        batches: of pictures or of features, in `order`.
        order: starts again at epoch 0.

    Raises:
        DataError: too many pictures cannot be read.
        Interrupted: the job was asked to stop.
    """
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer.set_training_mode(network, freeze_batch_norm=run.config.freeze_batch_norm)
    tried = optimizer.build_optimizer(network, run.config)
    gradients = Gradients(
        model,
        nn.CrossEntropyLoss(label_smoothing=run.config.label_smoothing),
        torch.amp.GradScaler(run.device.type, enabled=False),
        run.autocast(),
        run.config.accumulate,
        run.job.world_size,
        run.job.rank,
    )
    order.epoch = order.first = 0
    curve: list[tuple[float, float]] = []
    lowest, smooth, taken = math.inf, 0.0, 0
    try:
        for number, batch in enumerate(itertools.islice(_repeat(run, batches), STEPS)):
            rate = LEAST * (MOST / LEAST) ** (number / (STEPS - 1))
            optimizer.scale(tried, rate / run.config.learning_rate)
            torch.manual_seed(mix(run.config.seed, number, run.job.rank))
            shares = order.shares(number % len(order))
            run.unreadable.add(batch.unreadable, batch.remarks)
            if not enough(len(batch.labels), shares):
                continue
            loss = _step(run, gradients, batch, tried, shares)
            taken += 1
            smooth = SMOOTH * smooth + (1 - SMOOTH) * loss
            loss = smooth / (1 - SMOOTH**taken)
            if not math.isfinite(loss) or loss > LOST * lowest:
                break
            lowest = min(lowest, loss)
            curve.append((rate, loss))
    finally:
        network.load_state_dict(before)
        network.zero_grad(set_to_none=True)
    if not curve:
        run.job.log("no learning rate found: the loss is not a number even at the lowest rate")
        return run.config.learning_rate
    if run.job.is_main:
        run.job.output_dir.mkdir(parents=True, exist_ok=True)
        with (run.job.output_dir / "learning_rate.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("learning_rate", "loss"), *curve])
    found = min(curve, key=lambda point: point[1])[0] / 10
    run.job.log(f"learning rate {found:.3g}: the loss was lowest at {10 * found:.3g}")
    return found


def _repeat(run: Run, batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        yield from run.stop.watch(batches)


def _step(
    run: Run,
    gradients: Gradients,
    batch: Batch,
    tried: torch.optim.Optimizer,
    shares: tuple[int, ...],
) -> float:
    """Take a step and return its loss over all processes."""
    images = batch.images_on(run.device)
    labels = batch.labels.to(run.device)
    tried.zero_grad()
    _, figures = gradients.accumulate(Step(), images, labels, labels, shares)
    tried.step()
    return (figures[0] / figures[2]).item()

"""A learning rate from a short trial run at rising rates, after which the weights are put back.

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks"; the rate taken is a
tenth of that with the least loss, as fastai's `minimum`.
"""

import csv
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn

from train.batches import data
from train.learning import gradients, optimizer, parallel
from train.recording.hooks import Step

if TYPE_CHECKING:
    from train.state.run import Run

STEPS = 100
LEAST, MOST = 1e-6, 10.0  # of the head's rate; the backbone's keeps its ratio to it
SMOOTH = 0.9  # of the loss, over the steps before
LOST = 4.0  # times the least loss


def find(
    run: "Run",
    network: nn.Module,
    model: nn.Module,
    batches: Iterable[data.Batch],
    order: data.Order,
) -> float:
    """Return the head's rate to train with, and leave the curve in learning_rate.csv.

    Args:
        run: the run.
        network: to be trained; it is afterwards as it was.
        model: what takes the batches.
        batches: of pictures or of features, in `order`.
        order: begun at epoch 0 again and again.

    Raises:
        DataError: too many pictures cannot be read.
        Interrupted: asked to stop.
    """
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer.set_training_mode(network, freeze_batch_norm=run.config.freeze_batch_norm)
    tried = optimizer.build_optimizer(network, run.config)
    criterion = nn.CrossEntropyLoss(label_smoothing=run.config.label_smoothing)
    order.epoch = order.first = 0
    curve: list[tuple[float, float]] = []
    least, smooth = math.inf, 0.0
    try:
        for number, batch in enumerate(itertools.islice(_again(run, batches), STEPS)):
            rate = LEAST * (MOST / LEAST) ** (number / (STEPS - 1))
            optimizer.scale(tried, rate / run.config.learning_rate)
            torch.manual_seed(data.mix(run.config.seed, number, run.job.rank))
            smooth = SMOOTH * smooth + (1 - SMOOTH) * _step(run, model, batch, tried, criterion)
            loss = smooth / (1 - SMOOTH ** (number + 1))
            if not math.isfinite(loss) or loss > LOST * least:
                break
            least = min(least, loss)
            curve.append((rate, loss))
    finally:
        network.load_state_dict(before)
        network.zero_grad(set_to_none=True)
    if not curve:
        run.say("no learning rate could be found: the loss is not a number at the lowest")
        return run.config.learning_rate
    if run.chief:
        run.job.output_dir.mkdir(parents=True, exist_ok=True)
        with (run.job.output_dir / "learning_rate.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("learning_rate", "loss"), *curve])
    found = min(curve, key=lambda point: point[1])[0] / 10
    run.say(f"learning rate {found:.3g}: the loss was least at {10 * found:.3g}")
    return found


def _again(run: "Run", batches: Iterable[data.Batch]) -> Iterator[data.Batch]:
    while True:
        yield from run.stop.watch(batches)


def _step(
    run: "Run",
    model: nn.Module,
    batch: data.Batch,
    tried: torch.optim.Optimizer,
    criterion: nn.CrossEntropyLoss,
) -> float:
    """Take a step and return its loss over all processes."""
    run.unreadable.add(batch.unreadable)
    images = parallel.shaped(batch.images_on(run.device), run.transform.crop)
    labels = batch.labels.to(run.device)
    unscaled = torch.amp.GradScaler(run.device.type, enabled=False)
    tried.zero_grad()
    _, figures = gradients.accumulate(
        run, Step(), model, criterion, unscaled, images, labels, labels
    )
    tried.step()
    return (figures[0] / figures[2]).item()

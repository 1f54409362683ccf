"""What is trained, and on which batches: the head first where `head_epochs` says so, then all."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from train.batches import data
from train.features import features
from train.learning import gradients, optimizer, parallel
from train.stages import finder
from train.state.run import Run
from train.state.state import TrainState


@dataclass
class Stage:
    """Epochs in which the same part of the network is trained.

    `batches` come in `order`: of features, where some are kept.
    """

    model: nn.Module
    batches: Iterable[data.Batch]
    order: data.Order
    kept: features.Features | None


def begin_stage(run: Run, network: nn.Module, epoch: int) -> Stage:
    """Return the stage that `epoch` belongs to, and let what it trains be trained."""
    config = run.config
    head = epoch < config.head_epochs
    optimizer.freeze(network, "head" if head else config.trainable)
    if config.head_epochs:
        run.say(f"from epoch {epoch + 1}: training {'the head' if head else config.trainable}")
    kept = features.choose(run, network)
    batches, order = run.loader(run.splits.train, run.training_transform, shuffle=True)
    if kept:
        model = parallel.wrap(kept.tail)
        return Stage(model, kept.batches(run.splits.train, order), order, kept)
    model = parallel.wrap(network)
    return Stage(gradients.compiled(model) if config.compile else model, batches, order, kept)


def find_rate(run: Run, state: TrainState, stage: Stage) -> None:
    """Find the peak rates, once a job: every checkpoint has them from then on."""
    groups = state.optimizer.param_groups
    if all("found" in group for group in groups):
        return
    rate = finder.find(run, state.network, stage.model, stage.batches, stage.order)
    for group in groups:
        group["peak"] *= rate / run.config.learning_rate
        group["found"] = rate

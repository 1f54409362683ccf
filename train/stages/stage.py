"""What is trained, and on which batches: first the head if `head_epochs` says so, then the rest."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from train.batches.batch import Batch
from train.batches.order import Order, training_order
from train.config import ConfigError
from train.features.features import Features, choose
from train.learning import optimizer, parallel
from train.stages import finder
from train.state import inputs
from train.state.run import Run
from train.state.state import TrainState


@dataclass
class Stage:
    """Epochs in which the same part of the network is trained.

    `batches` come in `order`; they hold features if `features` is set.
    """

    model: nn.Module
    batches: Iterable[Batch]
    order: Order
    features: Features | None


def begin_stage(run: Run, network: nn.Module, epoch: int) -> Stage:
    """Return the stage that `epoch` belongs to, and unfreeze what it trains."""
    config, pictures = run.config, run.splits.train
    part = "head" if epoch < config.head_epochs else config.trainable
    optimizer.freeze(network, part)
    if config.head_epochs:
        run.job.log(f"from epoch {epoch + 1}: training {'the head' if part == 'head' else part}")
    order = training_order(config, pictures, run.job)
    features = choose(run, network)
    if features:
        return Stage(
            parallel.wrap(features.tail), features.batches(pictures, order), order, features
        )
    model = parallel.wrap(network)
    batches = inputs.load(run, pictures, run.training_transform, order)
    return Stage(compile_network(model) if config.compile else model, batches, order, None)


def compile_network(model: nn.Module) -> nn.Module:
    """Return a module with the same parameters whose passes torch.compile makes faster.

    Raises:
        ConfigError: torch.compile finds no C++ compiler.
    """
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise ConfigError(
            "compile=true needs a C++ compiler, and this image has none: build an image from it "
            "with g++, triton and torch's headers (docs/images.md), or leave compile=false"
        )
    module: nn.Module = torch.compile(model)  # type: ignore[assignment]
    return module


def find_rate(run: Run, state: TrainState, stage: Stage) -> None:
    """Find the peak learning rates, once in a job: later checkpoints store them."""
    groups = state.optimizer.param_groups
    if all("found" in group for group in groups):
        return
    rate = finder.find(run, state.network, stage.model, stage.batches, stage.order)
    for group in groups:
        group["peak"] *= rate / run.config.learning_rate
        group["found"] = rate

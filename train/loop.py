"""The training run, read from top to bottom: set up, resume, epochs, result."""

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.transforms import v2

from classifier import mirror
from debugger.records import CHECKPOINT, COPY, OPTIMIZER
from pictures.picture import Splits
from train import metrics
from train.batches import data
from train.config import TrainConfig
from train.features import features, sweep
from train.learning import gradients, optimizer, parallel
from train.learning.evaluate import Scores
from train.platform.stop import Interrupted, Stop
from train.recording.hooks import Hooks
from train.stages import fitting
from train.stages.stage import begin_stage, find_rate
from train.state import checkpoint, result
from train.state.progress import follow
from train.state.run import Run, set_up
from train.state.state import Best, TrainState

if TYPE_CHECKING:
    from train.job import Job


class TrainingError(RuntimeError):
    """Training that led nowhere; the message says which hyperparameters to change."""


def train(config: TrainConfig, splits: Splits, job: "Job", stop: Stop, hooks: Hooks) -> None:
    """Train a classifier and leave the bundle in `job.model_dir`.

    Raises:
        ConfigError, DataError, WeightsError, TrainingError: with what to mend.
        Interrupted: asked to stop; the checkpoint and, after a first epoch, the best are saved.
    """
    # ---- set up --------------------------------------------------------------------------------
    run, network = set_up(config, splits, job, stop, hooks)
    if config.sweep:
        train_trials(run, network, features.choose(run, network))
        return
    found = None
    if job.checkpoints:
        found = checkpoint.load_newest(job.checkpoints) if run.chief else None
        found = parallel.chiefs(found)  # for another host may have none, or an older one
    if config.fit_batch_size:
        size = found[0]["config"]["batch_size"] if found else fitting.batch_size(run, network)
        config = config.model_copy(update={"batch_size": size})
        run = run.told(config)
    state = initial_state(run, network)

    # ---- go on where an earlier start was stopped ----------------------------------------------
    if found:
        state.restore(found[0], config, splits.folders)
        run.say(f"going on from {found[1].name}: epoch {state.epoch + 1}, batch {state.batch}")

    saver = checkpoint.Saver(job.checkpoints) if run.chief and job.checkpoints else None

    def save() -> None:
        if saver:
            with hooks.phase(CHECKPOINT):
                saver.save(state.to_checkpoint(config, splits.folders), state.step)

    try:
        # ---- epochs ----------------------------------------------------------------------------
        stage = None
        while not finished(state, config):
            if stage is None or state.epoch == config.head_epochs:
                stage = begin_stage(run, network, state.epoch)
                if config.find_learning_rate:
                    find_rate(run, state, stage)
            started, kept = time.monotonic(), stage.kept
            if kept:
                kept.view(splits.train, state.epoch)
            train_epoch(run, state, stage.model, stage.batches, stage.order, save, started)
            if kept:
                scores = run.measure_head(state.result, kept, splits.valid)
            else:
                scores = run.measure(state.result, splits.valid)
            if not close_epoch(run, state, scores):
                break
            save()
        # ---- result ----------------------------------------------------------------------------
        best = state.best
        if best is None:
            raise TrainingError(
                "the loss was not a number in the first epoch: lower learning_rate "
                f"(now {config.learning_rate:g}) or set clip_gradient_norm=1"
            )
        run.say(f"best epoch {best.epoch + 1}: validation accuracy {best.accuracy:.4f}")
        network.load_state_dict(best.weights, strict=False)
        test = measure_best(run, network, best)
    except Interrupted as interrupted:
        save()
        if run.chief and state.best:
            network.load_state_dict(state.best.weights, strict=False)
            result.leave(run, network, state, None, stopped=str(interrupted))
            run.say("left the best so far in the model folder")
        elif interrupted.rule:
            raise TrainingError(f"{interrupted}; no epoch was done, so no model is left") from None
        raise
    finally:
        if saver:
            saver.wait()
    if run.chief:
        result.leave(run, network, state, test)


def train_trials(run: Run, network: nn.Module, kept: features.Features | None) -> None:
    """Train every trial of a sweep, and leave the best as a bundle.

    Raises:
        ConfigError, DataError, TrainingError: with what to mend.
        Interrupted: asked to stop. Nothing is left; a second start begins anew.
    """
    trials = sweep.train(run, network, kept)
    won = sweep.winner(trials)
    if won is None or won.best is None:
        raise TrainingError("the loss of every trial was not a number: lower learning_rate")
    run = run.told(won.config)
    run.say(f"best trial {won.number}: validation accuracy {won.best.accuracy:.4f}")
    for figures in won.history:
        for name in figures.keys() & metrics.METRICS.keys() if run.chief else ():
            metrics.emit(name, figures[name], int(figures["epoch"]))
        run.hooks.figures(figures, int(figures["epoch"]))
    state = initial_state(run, network)
    state.best, state.history, state.epoch = won.best, won.history, len(won.history)
    network.load_state_dict(won.best.weights, strict=False)
    if kept:
        state.best.calibrate(run.measure_head(network, kept, run.splits.valid))
    test = measure_best(run, network, state.best)
    if run.chief:
        result.leave(run, network, state, test)


def measure_best(run: Run, network: nn.Module, best: Best) -> Scores | None:
    """Return the test scores of the network that will be left; `network` holds its weights.

    One that looks twice is calibrated by two looks too.
    """
    if run.config.test_time_flip:
        mirror.look_twice(network)
        best.calibrate(run.measure(network, run.splits.valid))
    return run.measure(network, run.splits.test) if run.splits.test else None


def initial_state(run: Run, network: nn.Module) -> TrainState:
    """Return the state before the first step."""
    config = run.config
    state = TrainState(
        network,
        optimizer.build_optimizer(network, config),
        torch.amp.GradScaler(run.device.type, enabled=run.precision is torch.float16),
        torch.zeros(3, dtype=torch.float64, device=run.device),
    )
    if config.ema:
        state.ema = AveragedModel(
            network,
            multi_avg_fn=get_ema_multi_avg_fn(config.ema),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
    return state


def finished(state: TrainState, config: TrainConfig) -> bool:
    """Whether all epochs are done, or none of the last `patience` was better."""
    tired = 0 < config.patience <= state.stale and state.epoch > config.head_epochs
    return state.epoch >= config.epochs or tired


def train_epoch(
    run: Run,
    state: TrainState,
    model: nn.Module,
    batches: Iterable[data.Batch],
    order: data.Order,
    save: Callable[[], None],
    started: float,
) -> None:
    """Take an epoch's steps, from where `state` stands in it; it was begun at `started`."""
    config, classes = run.config, len(run.splits.classes)
    order.epoch, order.first = state.epoch, 0
    steps = len(order)
    order.first = state.batch
    mixing = choose_mixing(config, classes)
    criterion = nn.CrossEntropyLoss(
        weight=data.class_weights(run.splits.train, classes).to(run.device)
        if config.class_weights == "balanced"
        else None,
        label_smoothing=config.label_smoothing,
    )
    optimizer.set_training_mode(state.network, freeze_batch_norm=config.freeze_batch_norm)
    trained = [p for p in state.network.parameters() if p.requires_grad]
    title = f"epoch {state.epoch + 1}/{config.epochs}"
    saved, begun = time.monotonic(), state.batch
    followed = follow(run.stop.watch(batches), title, done=state.batch, total=steps, show=run.chief)
    for step, batch in run.hooks.steps("train", followed, state.epoch, state.step):
        run.unreadable.add(batch.unreadable)
        torch.manual_seed(data.mix(config.seed, state.step, run.job.rank))  # dropout, mixing
        optimizer.set_rates(state.optimizer, config, state.step, steps)
        count = len(batch.labels)
        if count or run.job.world > 1:  # one of several takes part with an empty share too
            with step.phase(COPY):
                images = parallel.shaped(batch.images_on(run.device), run.transform.crop)
                labels = batch.labels.to(run.device, non_blocking=True)
                mixed, targets = mixing(images, labels) if mixing and count else (images, labels)
            answers, figures = gradients.accumulate(
                run, step, model, criterion, state.scaler, mixed, targets, labels
            )
            state.scaler.unscale_(state.optimizer)
            with step.phase(OPTIMIZER):
                if config.clip_gradient_norm:
                    nn.utils.clip_grad_norm_(trained, config.clip_gradient_norm)
                state.scaler.step(state.optimizer)
                state.scaler.update()
                state.optimizer.zero_grad(set_to_none=True)
                if state.ema:
                    state.ema.update_parameters(state.network)
            state.sums += figures  # no .item(): figures stay on the device until the epoch ends
            step.result(figures[0] / figures[2], labels, answers)
        state.batch += 1
        state.step += 1
        if time.monotonic() - saved > 60 * config.checkpoint_minutes:
            save()
            saved = time.monotonic()
    share = (steps - begun) / max(1, steps)  # of the epoch, after a resume in its middle
    seconds = time.monotonic() - started
    state.rate = share * len(run.splits.train) / seconds if share else 0.0


def close_epoch(run: Run, state: TrainState, scores: Scores) -> bool:
    """Emit and note an epoch's figures, and return whether to go on: not once loss is lost."""
    parallel.share_unreadable(run.unreadable)
    loss, right, count = state.sums.tolist()
    figures = {
        "train:loss": loss / max(1.0, count),
        "train:accuracy": right / max(1.0, count),
        "train:learning_rate": max(group["lr"] for group in state.optimizer.param_groups),
        "train:images_per_second": state.rate,
        **scores.metrics("validation"),
    }
    for name, value in figures.items():
        if run.chief:
            metrics.emit(name, value, state.epoch + 1)
    run.hooks.figures(figures, state.epoch + 1)
    lost = not (math.isfinite(figures["train:loss"]) and math.isfinite(scores.loss))
    if lost:
        run.say("the loss is not a number any more: training ends here")
    else:
        state.take(scores)
    state.history.append({"epoch": state.epoch + 1, **figures})
    state.sums.zero_()
    state.epoch += 1
    state.batch = 0
    if state.epoch == run.config.head_epochs:
        state.stale = 0
    return not lost


def choose_mixing(config: TrainConfig, classes: int) -> v2.Transform | None:
    """Return MixUp, CutMix, or one of them at random a step; None when both are off."""
    mixings = []
    if config.mixup:
        mixings.append(v2.MixUp(alpha=config.mixup, num_classes=classes))
    if config.cutmix:
        mixings.append(v2.CutMix(alpha=config.cutmix, num_classes=classes))
    return v2.RandomChoice(mixings) if mixings else None

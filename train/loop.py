"""The training run, read from top to bottom: set up, resume, epochs, result."""

import time
from collections.abc import Callable

import torch
from torch import nn
from torchvision.transforms import v2

from classifier import mirror
from debugger.records import CHECKPOINT, COPY, OPTIMIZER
from pictures.picture import Splits
from train import metrics
from train.batches.order import mix
from train.config import TrainConfig
from train.features import features, sweep, trial
from train.learning import optimizer, parallel
from train.learning.criterion import build_criterion
from train.learning.evaluate import Scores
from train.learning.gradients import Gradients, enough
from train.platform.environment import Job
from train.platform.stop import Interrupted, Stop
from train.recording.hooks import Hooks
from train.stages import fitting
from train.stages.stage import Stage, begin_stage, find_rate
from train.state import checkpoint, resume
from train.state.measure import measure
from train.state.progress import Whole, follow
from train.state.result import write_result
from train.state.run import Run
from train.state.setup import initial_state, set_up, with_config
from train.state.state import Best, TrainState


class TrainingError(RuntimeError):
    """Training without a result; the message says which hyperparameters to change."""


def train(config: TrainConfig, splits: Splits, job: Job, stop: Stop, hooks: Hooks) -> None:
    """Train a classifier and write the bundle to `job.model_dir`.

    Raises:
        ConfigError, DataError, WeightsError, TrainingError: with what to fix.
        Interrupted: the job was asked to stop; a checkpoint is saved, and after a first epoch the
            best bundle so far.
    """
    # ---- set up --------------------------------------------------------------------------------
    run, network = set_up(config, splits, job, stop, hooks)
    if config.sweep:
        train_trials(run, network, features.choose(run, network))
        return
    data = resume.describe(splits)
    found = resume.load(job, config, data)
    if config.fit_batch_size:
        size = found[0]["config"]["batch_size"] if found else fitting.batch_size(run, network)
        config = config.model_copy(update={"batch_size": size})
        run = with_config(run, config)
    state = initial_state(run, network)

    # ---- resume where an earlier start was stopped ---------------------------------------------
    if found:
        state.restore(found[0], config)
        job.log(f"resuming from {found[1].name}: epoch {state.epoch + 1}, batch {state.batch}")

    whole = Whole(config.epochs - state.epoch)
    saver = checkpoint.Saver(job.checkpoints) if job.is_main and job.checkpoints else None

    def save() -> None:
        if saver:
            with hooks.phase(CHECKPOINT):
                saver.save(state.to_checkpoint(config, data), state.step)

    try:
        # ---- epochs ----------------------------------------------------------------------------
        stage = None
        while not finished(state, config):
            if stage is None or state.epoch == config.head_epochs:
                stage = begin_stage(run, network, state.epoch)
                if config.find_learning_rate:
                    find_rate(run, state, stage)
            started = time.monotonic()
            if stage.features:
                stage.features.view(splits.train, state.epoch)
            train_epoch(run, state, stage, save, started, whole)
            if stage.features:
                scores = stage.features.measure(state.result, splits.valid)
            else:
                scores = measure(run, state.result, splits.valid)
            close_epoch(run, state, scores)
            save()
        # ---- result ----------------------------------------------------------------------------
        best = state.selection.best
        if best is None:
            raise TrainingError(
                "the loss was not a number in the first epoch: lower learning_rate "
                f"(now {config.learning_rate:g}) or set clip_gradient_norm=1"
            )
        job.log(f"best epoch {best.epoch + 1}: validation accuracy {best.accuracy:.4f}")
        network.load_state_dict(best.weights, strict=False)
        test = measure_best(run, network, best)
    except Interrupted as interrupted:
        save()
        best = state.selection.best
        if job.is_main and best:
            network.load_state_dict(best.weights, strict=False)
            write_result(run, network, state, None, stopped=str(interrupted))
            job.log("wrote the best model so far to the model folder")
        elif interrupted.rule:
            raise TrainingError(
                f"{interrupted}; no epoch was finished, so there is no model"
            ) from None
        raise
    finally:
        if saver:
            saver.wait()
    if job.is_main:
        write_result(run, network, state, test)


def train_trials(run: Run, network: nn.Module, cached: features.Features | None) -> None:
    """Train every trial of a sweep, and write the best as a bundle.

    Raises:
        ConfigError, DataError, TrainingError: with what to fix.
        Interrupted: the job was asked to stop. Nothing is saved; a second start begins again.
    """
    trials = sweep.train(run, network, cached)
    won = trial.winner(trials)
    best = won.selection.best if won else None
    if won is None or best is None:
        raise TrainingError("the loss of every trial was not a number: lower learning_rate")
    run.hooks.trial(trial.reported(run.config, won, status="best"))
    run = with_config(run, won.config)
    run.job.log(f"best trial {won.number}: validation accuracy {best.accuracy:.4f}")
    for figures, step in zip(won.history, won.steps, strict=True):
        for name in figures.keys() & metrics.METRICS.keys() if run.job.is_main else ():
            metrics.emit(name, figures[name], int(figures["epoch"]))
        measured = {name: value for name, value in figures.items() if name != "epoch"}
        run.hooks.metrics(measured, int(figures["epoch"]), step)
    state = initial_state(run, network)
    state.selection, state.history, state.epoch = won.selection, won.history, len(won.history)
    network.load_state_dict(best.weights, strict=False)
    if cached:
        best.calibrate(cached.measure(network, run.splits.valid))
    test = measure_best(run, network, best)
    if run.job.is_main:
        write_result(run, network, state, test)


def measure_best(run: Run, network: nn.Module, best: Best) -> Scores | None:
    """Return the test scores of the final network, which holds the weights of `best`.

    With `test_time_flip` the network also evaluates the mirrored picture, and is calibrated so.
    """
    if run.config.test_time_flip:
        mirror.add_test_time_flip(network)
        best.calibrate(measure(run, network, run.splits.valid))
    return measure(run, network, run.splits.test) if run.splits.test else None


def finished(state: TrainState, config: TrainConfig) -> bool:
    """Whether all epochs are done, none of the last `patience` was better, or the loss is lost."""
    stale = state.selection.stale
    impatient = 0 < config.patience <= stale and state.epoch > config.head_epochs
    return state.epoch >= config.epochs or impatient or state.lost


def train_epoch(
    run: Run,
    state: TrainState,
    stage: Stage,
    save: Callable[[], None],
    started: float,
    whole: Whole | None = None,
) -> None:
    """Take the steps of an epoch that began at `started`, from the current step of `state` on."""
    config, classes = run.config, len(run.splits.classes)
    order = stage.order
    order.epoch, order.first = state.epoch, 0
    steps = len(order)
    order.first = state.batch
    mixing = choose_mixing(config, classes)
    gradients = Gradients(
        stage.model,
        build_criterion(config, run.splits.train, classes, run.device),
        state.scaler,
        run.autocast(),
        config.accumulate,
        run.job.world_size,
        run.job.rank,
    )
    optimizer.set_training_mode(state.network, freeze_batch_norm=config.freeze_batch_norm)
    trained = [p for p in state.network.parameters() if p.requires_grad]
    rates = optimizer.head_group(state.optimizer, state.network)
    title = f"epoch {state.epoch + 1}/{config.epochs}"
    saved, earlier = time.monotonic(), state.seconds
    batches = run.stop.watch(stage.batches)
    shown = run.job.is_main
    followed = follow(batches, title, done=state.batch, total=steps, show=shown, whole=whole)
    for step, batch in run.hooks.steps("train", followed, state.epoch, state.step):
        run.unreadable.add(batch.unreadable, batch.remarks)
        torch.manual_seed(mix(config.seed, state.step, run.job.rank))  # dropout, mixing
        optimizer.set_rates(state.optimizer, config, state.step, steps)
        step.learning_rate(rates["lr"])
        count = len(batch.labels)
        # A process with an empty share takes part too.
        if enough(count, order.shares(state.batch)):
            with step.phase(COPY):
                images = batch.images_on(run.device)
                labels = batch.labels.to(run.device, non_blocking=True)
                mixed, targets = mixing(images, labels) if mixing and count else (images, labels)
                if targets.ndim > 1:
                    labels = targets.argmax(1)  # of a mixed picture, the class with more of it
            answers, figures = gradients.accumulate(
                step, mixed, targets, labels, order.shares(state.batch)
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
        state.seconds = earlier + time.monotonic() - started
        if time.monotonic() - saved > 60 * config.checkpoint_minutes:
            save()
            saved = time.monotonic()


def close_epoch(run: Run, state: TrainState, scores: Scores) -> None:
    """Emit and store an epoch's figures, and the epoch's weights if they are the best so far."""
    parallel.gather_unreadable(run.unreadable)
    loss, right, count = state.sums.tolist()
    figures = {
        "train:loss": loss / max(1.0, count),
        "train:accuracy": right / max(1.0, count),
        "train:learning_rate": optimizer.head_group(state.optimizer, state.network)["lr"],
        "train:images_per_second": len(run.splits.train) / state.seconds,
        **scores.metrics("validation"),
    }
    for name, value in figures.items():
        if run.job.is_main:
            metrics.emit(name, value, state.epoch + 1)
    run.hooks.metrics(figures, state.epoch + 1)
    state.history.append({"epoch": state.epoch + 1, **figures})
    if state.lost:
        run.job.log("the loss is not a number any more: training ends here")
    else:
        state.select(scores)
    state.sums.zero_()
    state.epoch += 1
    state.batch = 0
    state.seconds = 0.0
    if state.epoch == run.config.head_epochs:
        state.selection.stale = 0


def choose_mixing(config: TrainConfig, classes: int) -> v2.Transform | None:
    """Return MixUp, CutMix, or one of them at random in each step; None if both are off."""
    mixings = []
    if config.mixup:
        mixings.append(v2.MixUp(alpha=config.mixup, num_classes=classes))
    if config.cutmix:
        mixings.append(v2.CutMix(alpha=config.cutmix, num_classes=classes))
    return v2.RandomChoice(mixings) if mixings else None

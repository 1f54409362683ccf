"""The training run, read from top to bottom: set up, resume, epochs, result."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from classifier import networks, weights
from classifier.transform import EvaluationTransform
from debugger.records import BACKWARD, CHECKPOINT, COPY, EVALUATION, FORWARD, OPTIMIZER
from train import checkpoint, data, features, frozen, metrics, optimizer, result, sweep
from train.channels import PRETRAINED, DataError, Picture, Splits
from train.config import ConfigError, TrainConfig
from train.evaluate import Scores, evaluate
from train.hooks import Hooks
from train.progress import follow
from train.state import TrainState
from train.stop import Interrupted, Stop

if TYPE_CHECKING:
    from train.job import Job


CALIBRATION = 10_000  # validation pictures at most


class TrainingError(RuntimeError):
    """Training that led nowhere; the message says which hyperparameters to change."""


@dataclass(frozen=True)
class Run:
    """What stays the same throughout a run; what changes is in TrainState."""

    config: TrainConfig
    splits: Splits
    job: "Job"
    stop: Stop
    hooks: Hooks
    device: torch.device
    precision: torch.dtype | None  # of autocast; None is float32 throughout
    transform: EvaluationTransform
    workers: int
    origin: str  # of the pretrained weights
    unreadable: data.Unreadable = field(init=False)

    def __post_init__(self) -> None:
        total = sum(map(len, (self.splits.train, self.splits.valid, self.splits.test)))
        unreadable = data.Unreadable(self.config.max_unreadable, total)
        object.__setattr__(self, "unreadable", unreadable)

    def told(self, config: TrainConfig) -> "Run":
        """Return the same run with other hyperparameters, as one trial of a sweep has."""
        other = replace(self, config=config)
        object.__setattr__(other, "unreadable", self.unreadable)
        return other

    @property
    def chief(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.job.rank == 0

    def say(self, text: str) -> None:
        """Print a line, once for all processes."""
        if self.chief:
            print(text, flush=True)

    def autocast(self) -> torch.autocast:
        """Return a context for forward passes."""
        return torch.autocast(
            self.device.type, self.precision or torch.bfloat16, enabled=self.precision is not None
        )

    def loader(
        self, pictures: Sequence[Picture], transform: object, *, shuffle: bool
    ) -> tuple[DataLoader[data.Item], data.Order]:
        """Return this process's batches of `pictures`, and the order that says where to begin."""
        seed = self.config.seed
        order = data.Order(
            len(pictures),
            self.config.batch_size if shuffle else max(self.config.batch_size, data.LEAST_BATCH),
            seed=seed if shuffle else None,
            rank=self.job.rank,
            world=self.job.world,
        )
        dataset = data.Pictures(pictures, transform, seed)
        return data.loader(dataset, order, workers=self.workers), order

    def measure(self, network: nn.Module, pictures: Sequence[Picture]) -> Scores:
        """Evaluate; raises Interrupted when asked to stop."""
        keep = -(-len(pictures) // CALIBRATION) if pictures is self.splits.valid else 0
        return self.score(network, self.loader(pictures, self.transform, shuffle=False)[0], keep)

    def measure_head(
        self, network: nn.Module, kept: features.Features, pictures: Sequence[Picture]
    ) -> Scores:
        """Evaluate a network whose backbone is that of `kept`; raises as `measure`."""
        kept.view(pictures, None)
        order = data.Order(len(pictures), data.LEAST_BATCH, seed=None)
        keep = -(-len(pictures) // CALIBRATION)
        return self.score(frozen.split(network)[1], kept.batches(pictures, order), keep)

    def score(self, network: nn.Module, batches: Iterable[data.Batch], keep: int) -> Scores:
        """Evaluate on batches; raises Interrupted when asked to stop."""
        with self.hooks.phase(EVALUATION):
            scores = evaluate(
                network,
                self.stop.watch(batches),
                len(self.splits.classes),
                self.device,
                self.autocast(),
                self.unreadable,
                self.hooks,
                keep,
            )
        if not scores.count:
            raise DataError("none of the pictures to be measured could be read")
        self.hooks.scored(scores)
        return scores


def train(config: TrainConfig, splits: Splits, job: "Job", stop: Stop, hooks: Hooks) -> None:
    """Train a classifier and leave the bundle in `job.model_dir`.

    Raises:
        ConfigError, DataError, WeightsError, TrainingError: with what to mend.
        Interrupted: asked to stop; the checkpoint and, after a first epoch, the best are saved.
    """
    # ---- set up --------------------------------------------------------------------------------
    run, network = set_up(config, splits, job, stop, hooks)
    kept = features.choose(run, network)
    if config.sweep:
        train_trials(run, network, kept)
        return
    state = initial_state(run, network)
    train_batches: Iterable[data.Batch]
    train_batches, order = run.loader(
        splits.train, data.training_transform(config, run.transform), shuffle=True
    )
    model = DistributedDataParallel(network) if job.world > 1 else network
    if kept:
        model = kept.tail

    # ---- go on where an earlier start was stopped ----------------------------------------------
    found = checkpoint.load_newest(job.checkpoints) if job.checkpoints else None
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
        while not finished(state, config):
            started = time.monotonic()
            if kept:
                kept.view(splits.train, state.epoch)
                train_batches = kept.batches(splits.train, order)
            train_epoch(run, state, model, train_batches, order, save, started)
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
        test = run.measure(network, splits.test) if splits.test else None
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
        for name in figures.keys() & metrics.METRICS.keys():
            metrics.emit(name, figures[name], int(figures["epoch"]))
        run.hooks.figures(figures, int(figures["epoch"]))
    state = initial_state(run, network)
    state.best, state.history, state.epoch = won.best, won.history, len(won.history)
    network.load_state_dict(won.best.weights, strict=False)
    if kept:
        state.best.calibrate(run.measure_head(network, kept, run.splits.valid))
    test = run.measure(network, run.splits.test) if run.splits.test else None
    result.leave(run, network, state, test)


def set_up(
    config: TrainConfig, splits: Splits, job: "Job", stop: Stop, hooks: Hooks
) -> tuple[Run, nn.Module]:
    """Build the network, on its device and with its frozen part, and say what will happen."""
    device = torch.device(f"cuda:{job.local_rank}" if torch.cuda.is_available() else "cpu")
    transform = networks.preset(config.architecture)
    if config.image_size:
        transform = transform.at_size(config.image_size)
    torch.manual_seed(config.seed)
    network = networks.build(config.architecture, len(splits.classes), image_size=transform.crop)
    origin = "random"
    if config.weights != "none":
        origin = weights.load_pretrained(
            network,
            config.architecture,
            file=None if config.weights == "pretrained" else Path(config.weights),
            channel=job.channels.get(PRETRAINED),
        )
    optimizer.freeze(network, config.trainable)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # the faster order on GPUs and CPUs alike
    workers, limited = data.worker_count(config, transform.crop, job.local_world)
    precision = choose_precision(config.precision, device)
    run = Run(config, splits, job, stop, hooks, device, precision, transform, workers, origin)
    hooks.watch(run, network)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    run.say(
        f"{config.architecture} for {len(splits.classes)} classes on {device}, "
        f"{precision or torch.float32}, weights: {origin}; "
        f"training {config.trainable}, {trained:,} parameters"
    )
    run.say(
        f"pictures: {len(splits.train)} train, {len(splits.valid)} valid, {len(splits.test)} test; "
        f"{workers} decoding workers, {job.world} training processes"
    )
    for note in (*splits.notes, limited):
        if note:
            run.say(note)
    return run, network


def choose_precision(wanted: str, device: torch.device) -> torch.dtype | None:
    """Return autocast's type, None for float32.

    Raises:
        ConfigError: the device cannot compute in it.
    """
    if wanted == "fp32" or (wanted == "auto" and device.type == "cpu"):
        return None
    if wanted == "fp16":
        if device.type == "cpu":
            raise ConfigError("precision=fp16 needs a GPU: use auto, fp32 or bf16")
        return torch.float16
    if wanted == "auto" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


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
    tired = 0 < config.patience <= state.stale
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
        if len(batch.labels):
            with step.phase(COPY):
                images = batch.images_on(run.device)
                labels = batch.labels.to(run.device, non_blocking=True)
                mixed, targets = mixing(images, labels) if mixing else (images, labels)
            with step.phase(FORWARD), run.autocast():
                logits = model(mixed)
                loss = criterion(logits.float(), targets)
            with step.phase(BACKWARD):
                state.scaler.scale(loss).backward()
                state.scaler.unscale_(state.optimizer)
            with step.phase(OPTIMIZER):
                if config.clip_gradient_norm:
                    nn.utils.clip_grad_norm_(trained, config.clip_gradient_norm)
                state.scaler.step(state.optimizer)
                state.scaler.update()
                state.optimizer.zero_grad(set_to_none=True)
                if state.ema:
                    state.ema.update_parameters(state.network)
            with torch.no_grad():  # no .item(): figures stay on the device until the epoch ends
                answers = logits.argmax(1)
                right = (answers == labels).sum()
                state.sums += torch.stack([loss * len(labels), right, right * 0 + len(labels)])
            step.result(loss, labels, answers)
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
    if dist.is_initialized():
        dist.all_reduce(state.sums)
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
    return not lost


def choose_mixing(config: TrainConfig, classes: int) -> v2.Transform | None:
    """Return MixUp, CutMix, or one of them at random a step; None when both are off."""
    mixings = []
    if config.mixup:
        mixings.append(v2.MixUp(alpha=config.mixup, num_classes=classes))
    if config.cutmix:
        mixings.append(v2.CutMix(alpha=config.cutmix, num_classes=classes))
    return v2.RandomChoice(mixings) if mixings else None

"""A whole grid in one job: one pass over the photos, and all heads train together on its features.

The backbone is frozen, so the trials differ in their heads only. Several processes divide the
photos between them, but each trains all heads, because heads are little work. A head is trained as
in a job of its own: the same first weights, views, order, steps, and choice of the best epoch.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from classifier import networks
from debugger.records import BACKWARD, COPY, EVALUATION, FORWARD, OPTIMIZER
from train import metrics
from train.batches.order import evaluation_order, mix, training_order
from train.config import ConfigError, TrainConfig
from train.features.features import Features
from train.features.trial import Trial, facts, report, write
from train.learning import optimizer
from train.learning.criterion import build_criterion
from train.learning.evaluate import evaluate
from train.learning.frozen import Tail
from train.learning.gradients import target_weight
from train.recording.hooks import Hooks
from train.state.progress import Whole, follow
from train.state.run import Run


def train(run: Run, network: nn.Module, features: Features | None) -> list[Trial]:
    """Train every trial of the run's sweep, log a line for each, and write the table.

    Args:
        run: the run.
        network: frozen except for the head; every trial starts from the head's weights.
        features: of `network`.

    Returns:
        the trials in the order of the grid.

    Raises:
        ConfigError: there are no features to train on.
        Interrupted: the job was asked to stop.
    """
    if features is None:
        raise ConfigError(
            "sweep trains on the features of a frozen backbone, and they cannot be stored here "
            "(see above): use a tuning job"
        )
    started = time.monotonic()
    configs = enumerate(run.config.trials(), 1)
    trials = [_start(run, network, number, config) for number, config in configs]
    run.job.log(f"sweep: {len(trials)} trials, {features.views} views of each picture")
    groups = _groups(trials)
    whole = Whole(float(sum(max(one.config.epochs for one in group) for group in groups)))
    step = 0
    for epoch in range(max(trial.config.epochs for trial in trials)):
        features.view(run.splits.train, epoch)
        features.view(run.splits.valid, None)
        for group in groups:
            active = [trial for trial in group if not trial.finished]
            if active:
                step = _epoch(run, features, active, epoch, step, whole)
                with run.hooks.phase(EVALUATION):
                    _measure(run, network, features, active)
                for trial in active if run.job.is_main else ():
                    report(run, trial)
    if run.job.is_main:
        write(run, trials, time.monotonic() - started)
    return trials


def _start(run: Run, network: nn.Module, number: int, config: TrainConfig) -> Trial:
    first = networks.head(network)
    head = nn.Linear(
        first.in_features, first.out_features, bias=first.bias is not None, device=run.device
    )
    head.load_state_dict(first.state_dict())
    # The optimizer knows the head by its name.
    alone = nn.Sequential(OrderedDict(head=head))
    return Trial(number, config, head, optimizer.build_optimizer(alone, config))


def _groups(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return groups of trials with the same batches and loss, which share a matrix product."""
    groups: dict[tuple[int, float], list[Trial]] = {}
    for trial in trials:
        config = trial.config
        groups.setdefault((config.batch_size, config.label_smoothing), []).append(trial)
    return list(groups.values())


def _epoch(
    run: Run, features: Features, trials: Sequence[Trial], epoch: int, first: int, whole: Whole
) -> int:
    """Train a group of trials for an epoch; return the job's next step, counted from `first`."""
    config = trials[0].config
    order = training_order(config, run.splits.train)  # whole batches: a process trains all heads
    order.epoch = epoch
    criterion = build_criterion(config, run.splits.train, len(run.splits.classes), run.device)
    stacked = _stack(trials)
    body = features.tail[:-1].train()
    sums = torch.zeros(3, len(trials), dtype=torch.float64, device=run.device)
    batches = follow(
        run.stop.watch(features.batches(run.splits.train, order)),
        f"{len(trials)} heads, epoch {epoch + 1}",
        done=0,
        total=len(order),
        show=run.job.is_main,
        whole=whole,
    )
    recorded = run.hooks.steps("train", batches, epoch, first)
    for number, (timed, batch) in enumerate(recorded):
        step = epoch * len(order) + number
        torch.manual_seed(mix(config.seed, step, 0))  # dropout
        with timed.phase(COPY):
            labels = batch.labels.to(run.device, non_blocking=True)
            images = batch.images_on(run.device).float()
        if len(labels):
            with timed.phase(FORWARD):
                logits = _logits(body(images), stacked)
                losses = _losses(logits, labels, criterion)
            with timed.phase(BACKWARD):
                gradients = torch.autograd.grad(losses.sum(), stacked)
            with timed.phase(OPTIMIZER):
                for place, trial in enumerate(trials):
                    for parameter, gradient in zip(trial.head.parameters(), gradients, strict=True):
                        parameter.grad = gradient[place]
                    _step(trial, step, len(order))
            right = (logits.argmax(2) == labels[:, None]).sum(0)
            sums += torch.stack([losses.detach() * len(labels), right, right * 0 + len(labels)])
    for trial, (loss, right_, count) in zip(trials, sums.T.tolist(), strict=True):
        trial.history.append(
            {
                "epoch": epoch + 1,
                "train:loss": loss / max(1.0, count),
                "train:accuracy": right_ / max(1.0, count),
                "train:learning_rate": trial.optimizer.param_groups[0]["lr"],
            }
        )
        trial.steps.append(first + len(order) - 1)
    return first + len(order)


def _stack(trials: Sequence[Trial]) -> tuple[torch.Tensor, ...]:
    """Return the heads' weights [T, C, F] and biases [T, C]; each head becomes a view of them."""
    kinds = zip(*(trial.head.parameters() for trial in trials), strict=True)
    stacked = []
    for parameters in kinds:
        together = torch.stack([parameter.detach() for parameter in parameters])
        for place, parameter in enumerate(parameters):
            parameter.data = together[place]
        stacked.append(together.requires_grad_())
    return tuple(stacked)


def _logits(hidden: torch.Tensor, stacked: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return [B, T, C] of features [B, F], in one product."""
    weight, *bias = stacked
    flat = F.linear(hidden, weight.flatten(0, 1), bias[0].flatten() if bias else None)
    return flat.view(len(hidden), *weight.shape[:2])


def _losses(
    logits: torch.Tensor, labels: torch.Tensor, criterion: nn.CrossEntropyLoss
) -> torch.Tensor:
    """Return each trial's mean loss [T], with the mean that the criterion takes."""
    targets = labels[:, None].expand(-1, logits.shape[1])
    each = F.cross_entropy(
        logits.transpose(1, 2),
        targets,
        criterion.weight,
        reduction="none",
        label_smoothing=criterion.label_smoothing,
    )
    return each.sum(0) / target_weight(criterion, labels)


def _step(trial: Trial, step: int, steps: int) -> None:
    config = trial.config
    optimizer.set_rates(trial.optimizer, config, step, steps)
    if config.clip_gradient_norm:
        nn.utils.clip_grad_norm_(trial.head.parameters(), config.clip_gradient_norm)
    with torch.no_grad():
        trial.optimizer.step()


def _measure(run: Run, network: nn.Module, features: Features, trials: Sequence[Trial]) -> None:
    """Evaluate each trial on the validation pictures, as a job of its own would."""
    name = networks.head_name(network)
    valid = run.splits.valid
    batches = features.batches(valid, evaluation_order(len(valid), run.job))
    for trial in trials:
        run.stop.check()
        scores = evaluate(
            Tail(*features.tail[:-1], trial.head),
            batches,
            len(run.splits.classes),
            run.device,
            run.autocast(),
            run.unreadable,
            Hooks(),
        )
        last = trial.history[-1]
        trial.lost = not (math.isfinite(last["train:loss"]) and math.isfinite(scores.loss))
        if not trial.lost:
            parameters = dict(trial.head.named_parameters())
            weights = {f"{name}.{key}": value for key, value in parameters.items()}
            trial.selection.update(len(trial.history) - 1, scores, weights)
        last |= scores.metrics("validation")
        if trial.finished and run.job.is_main:
            metrics.emit_trial(facts(run.config, trial))

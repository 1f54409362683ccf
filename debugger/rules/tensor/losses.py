"""Rules over losses: of steps, and of training and validation epochs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from debugger import records
from debugger.records import Fired, Record, Scalar
from debugger.rules.rule import Rule, RuleParameters, either

TRAINING, VALIDATION = "train:loss", "validation:loss"


@dataclass(eq=False)
class LossNotDecreasing(Rule):
    """Fires when the training loss has not fallen, or rises.

    Every `num_steps` steps, the rule divides the run so far into quarters and compares their mean
    losses. It fires when the last quarter is not `diff_percent` below the first, or when it is
    `increase_threshold_percent` and four standard errors above the third. AWS compares two single
    steps, so a healthy run with small batches fires by chance.
    """

    class Parameters(RuleParameters):
        num_steps: int = 10
        diff_percent: float = 0.1
        increase_threshold_percent: float = 5.0

    kind = "tensor"
    sees = (records.Step,)
    description = "The training loss does not decrease."
    advice = (
        "If the loss rises or oscillates, lower learning_rate. If it does not change, raise it and "
        "check that the labels match the pictures and that the right layers train (`trainable`)."
    )
    source = "AWS built-in rule LossNotDecreasing: 10 steps, 0.1 %, increase 5 %"
    needs = "`losses` among debugger_collections, and 40 steps"

    # Sums of pictures, loss and squared loss up to the end of each block of num_steps steps.
    _sums: list[tuple[float, float, float]] = field(default_factory=lambda: [(0.0, 0.0, 0.0)])
    _block: list[tuple[int, float]] = field(default_factory=list)

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the losses of training steps, weighted by their number of pictures."""
        if not isinstance(record, records.Step) or record.mode != "train":
            return
        if record.loss is None or not math.isfinite(record.loss):
            return
        self._block.append((max(1, record.size), record.loss))
        if len(self._block) < self.parameters.num_steps:
            return
        count, total, squares = self._sums[-1]
        count += sum(size for size, _ in self._block)
        total += sum(size * loss for size, loss in self._block)
        squares += sum(size * loss * loss for size, loss in self._block)
        self._sums.append((count, total, squares))
        self._block = []
        if len(self._sums) > 4:
            self.datapoints += 1
            yield from self._judge(record)

    def _judge(self, record: records.Step) -> Iterator[Fired]:
        blocks = len(self._sums) - 1
        quarter = blocks // 4
        first, _ = self._mean(0, quarter)
        third, third_error = self._mean(blocks - 2 * quarter, blocks - quarter)
        last, error = self._mean(blocks - quarter, blocks)
        rise = last - third
        bound = third * self.parameters.increase_threshold_percent / 100
        rises = rise > bound and rise > 4 * math.hypot(error, third_error)
        if rises:
            text = (
                f"the loss rises: {last:.4g} on average over the last quarter, {third:.4g} before"
            )
        elif last > first * (1 - self.parameters.diff_percent / 100):
            text = f"the loss has not fallen: {first:.4g} at first, {last:.4g} now"
        else:
            return
        yield self.fire(record, record.step, text, first=first, before=third, last=last)

    def _mean(self, begin: int, end: int) -> tuple[float, float]:
        """Return the mean loss of a range of blocks, and its standard error."""
        count, total, squares = (
            b - a for a, b in zip(self._sums[begin], self._sums[end], strict=True)
        )
        mean = total / count
        steps = (end - begin) * self.parameters.num_steps
        return mean, math.sqrt(max(0.0, squares / count - mean * mean) / steps)


@dataclass(eq=False)
class _Epochs(Rule):
    """A rule over the training loss and the validation loss of each epoch."""

    kind = "tensor"
    sees = (records.Scalar,)
    needs = "the metrics train:loss and validation:loss of each epoch"

    _last: dict[str, float] = field(default_factory=dict)

    def see(self, record: Record) -> Iterator[Fired]:
        """Store the losses of an epoch; check them when both are known."""
        if isinstance(record, Scalar) and record.name in (TRAINING, VALIDATION) and not record.rank:
            self._last[record.name] = record.value
            if len(self._last) == 2:
                train, valid = self._last[TRAINING], self._last[VALIDATION]
                self._last = {}
                if math.isfinite(train) and math.isfinite(valid):
                    self.datapoints += 1
                    yield from self.judge(record, train, valid)

    def judge(self, record: Scalar, train: float, valid: float) -> Iterator[Fired]:
        """Check the losses of an epoch and yield firings."""
        raise NotImplementedError


# What helps against overfitting, by the hyperparameter that does it.
_CURES = {
    "": "Use more pictures",
    "trainable": "train fewer layers (`trainable`)",
    "augment": "use a stronger `augment`",
    "patience": "stop earlier (`patience`)",
    "mixup": "mix pictures (`mixup`)",
    "label_smoothing": "set label_smoothing",
    "weight_decay": "set weight_decay",
}


@dataclass(eq=False)
class Overfit(_Epochs):
    """Fires when the validation loss is higher than the training loss, and gets worse.

    In more than `patience` epochs in a row, (validation - train) / train is over `ratio_threshold`,
    and the validation loss is above its best value by the same ratio. Epochs before step
    `start_step` do not count. AWS checks only the first condition; but a network that still
    improves also meets it, once it has almost learned its training pictures.
    """

    class Parameters(RuleParameters):
        start_step: int = 0
        patience: int = 1
        ratio_threshold: float = 0.1

    description = "The network memorises its training pictures, and validation gets worse."
    advice = f"{either(*_CURES.values())}. The best epoch is in the bundle anyway."
    source = "AWS built-in rule Overfit: patience 1, ratio 0.1"

    def advise(self) -> str:
        """Return what the job does not do yet."""
        done = {name for name in _CURES if name and self.setting(name)}
        done -= {"trainable", "augment"}  # these always have a value
        if self.setting("trainable") == "head":
            done.add("trainable")
        unset = [text for name, text in _CURES.items() if name not in done]
        return self.advice.replace(either(*_CURES.values()), either(*unset))

    _best: float = math.inf
    _epochs: int = 0

    def judge(self, record: Scalar, train: float, valid: float) -> Iterator[Fired]:
        """Compare the losses of an epoch with each other and with the best."""
        if record.step < self.parameters.start_step:
            return
        ratio = (valid - train) / max(train, 1e-12)
        threshold = self.parameters.ratio_threshold
        worse = ratio > threshold and valid > self._best * (1 + threshold)
        self._epochs = self._epochs + 1 if worse else 0
        self._best = min(self._best, valid)
        if self._epochs > self.parameters.patience:
            yield self.fire(
                record,
                record.step,
                f"epoch {record.epoch}: validation loss {valid:.4g} (best {self._best:.4g}), "
                f"training loss {train:.4g}",
                epoch=record.epoch,
                validation=valid,
                train=train,
                best=self._best,
                ratio=ratio,
            )


@dataclass(eq=False)
class Overtraining(_Epochs):
    """Fires at an epoch when neither loss has improved for a long time.

    The training loss has not improved by `delta` for `patience_train` epochs, and the validation
    loss not for `patience_validation` epochs.
    """

    class Parameters(RuleParameters):
        patience_train: int = 5
        patience_validation: int = 10
        delta: float = 0.01

    description = "Training continues although neither loss improves any more."
    advice = "Train fewer epochs, or set `patience`. The best epoch is saved anyway."
    source = "AWS built-in rule Overtraining: patience 5 (train), 10 (validation), delta 0.01"

    def advise(self) -> str:
        """Leave out patience if it is set."""
        text = self.advice
        return text.replace(", or set `patience`", "") if self.setting("patience") else text

    _best: dict[str, float] = field(default_factory=dict)
    _stale: dict[str, int] = field(default_factory=dict)

    def judge(self, record: Scalar, train: float, valid: float) -> Iterator[Fired]:
        """Count epochs without improvement."""
        for name, value in ((TRAINING, train), (VALIDATION, valid)):
            if value < self._best.get(name, math.inf) - self.parameters.delta:
                self._best[name], self._stale[name] = value, 0
            else:
                self._stale[name] = self._stale.get(name, 0) + 1
        trained, validated = self._stale[TRAINING], self._stale[VALIDATION]
        if (
            trained >= self.parameters.patience_train
            and validated >= self.parameters.patience_validation
        ):
            yield self.fire(
                record,
                record.step,
                f"epoch {record.epoch}: no better training loss for {trained} epochs and no better "
                f"validation loss for {validated}",
                epoch=record.epoch,
                train=trained,
                validation=validated,
            )

    def details(self) -> Mapping[str, Any]:
        """Return the best losses."""
        return {"best": dict(self._best), "epochs_without_better": dict(self._stale)}

"""Rules over weights: their initial values and their updates."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from debugger import records
from debugger.records import Fired, Record, Tensors
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.tensor.tensors import shorten

_NORMAL = 3.29  # standard deviations between a normal distribution's 5th and 95th percentile


@dataclass(eq=False)
class PoorWeightInitialization(Rule):
    """Fires in the first `steps` recorded steps when the network does not begin to learn.

    All of these must hold. The activation variances of the convolution and linear layers differ by
    more than a factor of `threshold`. The gradients of a layer span less than `distribution_range`
    (5th to 95th percentile of a normal distribution). The mean loss of the last `patience` steps is
    not 1 % below that of the first `patience` steps. AWS does not check the loss; but most healthy
    deep networks meet the first two conditions.
    """

    class Parameters(RuleParameters):
        threshold: float = 10.0
        distribution_range: float = 0.001
        patience: int = 5
        steps: int = 10

    kind = "tensor"
    sees = (records.Start, records.Step, records.Tensors)
    description = "The network cannot learn: its initial weights are too small, large or similar."
    advice = (
        "Start from pretrained weights, or use Kaiming (ReLU) or Xavier (tanh) initialisation. "
        "Check that the initial weights of a layer are not all equal."
    )
    source = "AWS built-in rule PoorWeightInitialization: 10, 1e-3, patience 5, 10 steps"
    needs = "losses, gradients and activations among debugger_collections"

    def advise(self) -> str:
        """Leave out pretrained weights if the job has some."""
        pretrained = self.setting("weights") not in (None, "none")
        text = self.advice
        return text.replace("Start from pretrained weights, or use", "Use") if pretrained else text

    _losses: list[float] = field(default_factory=list)
    _first: list[float] = field(default_factory=list)
    _layers: dict[str, str] = field(default_factory=dict)
    _ratio: float = 1.0
    _recorded: int = 0

    def see(self, record: Record) -> Iterator[Fired]:
        """Check losses, activations and gradients at the beginning."""
        if self._recorded >= self.parameters.steps:
            return
        if isinstance(record, records.Start):
            self._layers = dict(record.facts.get("layers", {}))
        elif isinstance(record, records.Step) and record.mode == "train":
            if record.loss is not None:
                self._losses = [*self._losses, record.loss][-self.parameters.patience :]
                if len(self._first) < self.parameters.patience:
                    self._first.append(record.loss)
                    self._losses = []
        elif isinstance(record, Tensors) and record.mode == "train":
            if record.collection == records.ACTIVATIONS:
                self._ratio = self._spread(record)
            elif record.collection == records.GRADIENTS:
                self._recorded += 1
                yield from self._judge(record)

    def _spread(self, record: Tensors) -> float:
        variances = [
            item.std**2
            for name, item in record.values.items()
            if self._layers.get(name, "Linear").startswith(("Conv", "Linear")) and item.size > 1
        ]
        return max(variances, default=1.0) / max(min(variances, default=1.0), 1e-30)

    def _judge(self, record: Tensors) -> Iterator[Fired]:
        self.datapoints += 1
        patience = self.parameters.patience
        if len(self._first) < patience or len(self._losses) < patience or not record.values:
            return
        ranges = {name: _NORMAL * item.std for name, item in record.values.items() if item.size > 1}
        if not ranges:
            return
        least = min(ranges, key=lambda name: ranges[name])
        before, now = sum(self._first) / patience, sum(self._losses) / patience
        if (
            self._ratio > self.parameters.threshold
            and ranges[least] < self.parameters.distribution_range
            and now > 0.99 * before
        ):
            yield self.fire(
                record,
                record.step,
                f"the loss stays at {now:.3g}; the activation variances of layers differ by a "
                f"factor of {self._ratio:.3g}, and the gradients of {least} span only "
                f"{ranges[least]:.2g}",
                loss=now,
                first_loss=before,
                variance_ratio=self._ratio,
                gradient_range=ranges[least],
                tensor=least,
            )


@dataclass(eq=False)
class WeightUpdateRatio(Rule):
    """Fires when an optimizer step changes a weight too much or not at all.

    Too much is an update with more than `large_threshold` times the l2 norm of the weight; not at
    all is less than `small_threshold` times the norm. Three cases do not count here, but fire with
    AWS: a weight that was zero before the step (norm below `epsilon`), biases, which can be very
    small, and the end of a schedule, when no weight changes any more.
    """

    class Parameters(RuleParameters):
        large_threshold: float = 10.0
        small_threshold: float = 1e-8
        epsilon: float = 1e-9

    kind = "tensor"
    sees = (records.Tensors,)
    description = "Optimizer steps change weights far too much, or not at all."
    advice = (
        "Too much: lower learning_rate or backbone_learning_rate. Not at all: raise it, or check "
        "that the optimizer has the weights named."
    )
    source = "AWS built-in rule WeightUpdateRatio: large 10, small 1e-8, epsilon 1e-9"
    needs = "`weights` among debugger_collections"

    _moved: bool = False
    _seen: bool = False

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the changes of weights."""
        if not isinstance(record, Tensors) or record.collection != records.WEIGHTS:
            return
        changes, large = {}, {}
        for name, item in record.values.items():
            if item.change is None or not math.isfinite(item.change):
                continue
            changes[name] = item.change
            # After the step, the norm of a weight that was zero is the norm of its update.
            was_zero = item.l2 < self.parameters.epsilon * item.change
            if item.change > self.parameters.large_threshold and not (
                was_zero or name.endswith("bias")
            ):
                large[name] = item.change
        self.datapoints += len(changes)
        small = {n: item for n, item in changes.items() if item < self.parameters.small_threshold}
        some_moved = len(small) < len(changes)
        if large:
            name = max(large, key=lambda name: large[name])
            text = f"a step changed {len(large)} weights too much: {name} by {large[name]:.3g}"
            yield self.fire(
                record, record.step, f"{text} times its norm", tensors=shorten(large), which="large"
            )
        # The learning rate may start at 0 and end near 0.
        if small and (some_moved or (self._seen and not self._moved)):
            name = next(iter(small))
            text = f"a step hardly changed {len(small)} weights: {name} by {small[name]:.2g}"
            yield self.fire(
                record, record.step, f"{text} times its norm", tensors=shorten(small), which="small"
            )
        self._moved |= some_moved
        self._seen |= bool(changes)

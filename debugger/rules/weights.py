"""Rules over weights: how they begin and how they move."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from debugger import records
from debugger.records import Fired, Record, Tensors
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.tensors import some

_NORMAL = 3.29  # standard deviations between a normal distribution's 5th and 95th percentile


@dataclass(eq=False)
class PoorWeightInitialization(Rule):
    """Fires in the first `steps` recorded steps when the network seems not to begin to learn.

    That is, when all of these hold: the variances of the weighted layers' activations lie apart by
    more than a factor of `threshold`; some gradients lie within `distribution_range` (5th to 95th
    percentile, taken as of a normal distribution); and the mean loss of the last `patience` steps
    is not below that of the first `patience` by 1 %. AWS asks for less: most deep networks meet the
    first two in good health, so the loss decides.
    """

    class Parameters(RuleParameters):
        threshold: float = 10.0
        distribution_range: float = 0.001
        patience: int = 5
        steps: int = 10

    kind = "tensor"
    sees = (records.Start, records.Step, records.Tensors)
    description = "The network's first weights are so small, large or alike that it cannot learn."
    advice = (
        "Start from pretrained weights, or initialise by the fan of each layer (Kaiming for ReLU, "
        "Xavier for tanh); see that no layer begins constant or all alike."
    )
    source = "AWS built-in rule PoorWeightInitialization: 10, 1e-3, patience 5, 10 steps"
    needs = "losses, gradients and activations among debugger_collections"

    _losses: list[float] = field(default_factory=list)
    _first: list[float] = field(default_factory=list)
    _layers: dict[str, str] = field(default_factory=dict)
    _ratio: float = 1.0
    _recorded: int = 0

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at losses, activations and gradients at the beginning."""
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
            one.std**2
            for name, one in record.values.items()
            if self._layers.get(name, "Linear").startswith(("Conv", "Linear")) and one.size > 1
        ]
        return max(variances, default=1.0) / max(min(variances, default=1.0), 1e-30)

    def _judge(self, record: Tensors) -> Iterator[Fired]:
        self.datapoints += 1
        patience = self.parameters.patience
        if len(self._first) < patience or len(self._losses) < patience or not record.values:
            return
        ranges = {name: _NORMAL * one.std for name, one in record.values.items() if one.size > 1}
        if not ranges:
            return
        least = min(ranges, key=lambda name: ranges[name])
        begun, now = sum(self._first) / patience, sum(self._losses) / patience
        if (
            self._ratio > self.parameters.threshold
            and ranges[least] < self.parameters.distribution_range
            and now > 0.99 * begun
        ):
            yield self.fire(
                record,
                record.step,
                f"the loss stays at {now:.3g}; activations vary {self._ratio:.3g} times as much in "
                f"one layer as in another, and the gradients of {least} lie within "
                f"{ranges[least]:.2g}",
                loss=now,
                first_loss=begun,
                variance_ratio=self._ratio,
                gradient_range=ranges[least],
                tensor=least,
            )


@dataclass(eq=False)
class WeightUpdateRatio(Rule):
    """Fires where an optimizer step changes a weight too much or not at all.

    That is, by over `large_threshold` times its length, or by under `small_threshold` of it. AWS
    differs in that it also fires for a weight that was zero (here: shorter than `epsilon`) before
    the step, for biases, which may be as short as they like, and at the end of a schedule: here all
    weights may rest together once some have moved.
    """

    class Parameters(RuleParameters):
        large_threshold: float = 10.0
        small_threshold: float = 1e-8
        epsilon: float = 1e-9

    kind = "tensor"
    sees = (records.Tensors,)
    description = "Optimizer steps change weights out of all proportion, or do not change them."
    advice = (
        "Too large: lower learning_rate or backbone_learning_rate. Too small: raise it, or see "
        "that the optimizer was given the weights named."
    )
    source = "AWS built-in rule WeightUpdateRatio: large 10, small 1e-8, epsilon 1e-9"
    needs = "`weights` among debugger_collections"

    _moved: bool = False
    _seen: bool = False

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at the changes of weights."""
        if not isinstance(record, Tensors) or record.collection != records.WEIGHTS:
            return
        changes, large = {}, {}
        for name, one in record.values.items():
            if one.change is None or not math.isfinite(one.change):
                continue
            changes[name] = one.change
            # A weight that was zero is now as long as its update.
            was_zero = one.l2 < self.parameters.epsilon * one.change
            if one.change > self.parameters.large_threshold and not (
                was_zero or name.endswith("bias")
            ):
                large[name] = one.change
        self.datapoints += len(changes)
        small = {n: one for n, one in changes.items() if one < self.parameters.small_threshold}
        some_moved = len(small) < len(changes)
        if large:
            name = max(large, key=lambda name: large[name])
            text = f"one step changed {len(large)} weights too much: {name} by {large[name]:.3g}"
            yield self.fire(
                record, record.step, f"{text} times its length", tensors=some(large), which="large"
            )
        # The rate may begin at 0 and end near it.
        if small and (some_moved or (self._seen and not self._moved)):
            name = next(iter(small))
            text = f"a step changed {len(small)} weights by nothing: {name} by {small[name]:.2g}"
            yield self.fire(
                record, record.step, f"{text} of its length", tensors=some(small), which="small"
            )
        self._moved |= some_moved
        self._seen |= bool(changes)

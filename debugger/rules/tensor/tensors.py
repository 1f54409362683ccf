"""Rules over tensors of any collection."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from debugger import records
from debugger.records import Fired, Record, Statistics
from debugger.rules.rule import TRY_BF16, Rule, RuleParameters, either

NAMED = 10  # tensors that the evidence of a firing names
WATCHED = (records.WEIGHTS, records.GRADIENTS, records.ACTIVATIONS, records.INPUTS)
# What helps against exploding tensors, by the hyperparameter that does it.
_CURES = {
    "": "Lower learning_rate",
    "warmup_epochs": "add warmup_epochs",
    "clip_gradient_norm": "set clip_gradient_norm=1",
}
TENSORS = "weights, gradients or activations among debugger_collections"


def shorten(found: Mapping[str, float]) -> dict[str, float]:
    """Return the first 10 entries."""
    return dict(list(found.items())[:NAMED])


@dataclass(eq=False)
class ExplodingTensor(Rule):
    """Fires when a tensor or the loss holds NaN or infinity.

    AWS's parameter `only_nan` does not exist here, because a recording counts both together. With
    fp16, infinite gradients do not count: the loss scale is found by trial, and such a step is
    skipped.
    """

    kind = "tensor"
    sees = (records.Start, records.Step, records.Tensors)
    description = "Tensors hold NaN or infinite values: from then on the network learns nothing."
    advice = (
        f"{either(*_CURES.values())}. The problem began in the first tensor named; if it is "
        f"`images`, check the pictures. {TRY_BF16}"
    )
    source = "AWS built-in rule ExplodingTensor"
    needs = TENSORS

    def advise(self) -> str:
        """Leave out what is set already, and fp16 where it is not used."""
        unset = [text for name, text in _CURES.items() if not self.setting(name)]
        return self.without_fp16(self.advice.replace(either(*_CURES.values()), either(*unset)))

    _half: bool = False

    def see(self, record: Record) -> Iterator[Fired]:
        """Check losses and all tensors."""
        if isinstance(record, records.Start):
            self._half = record.facts.get("precision") in ("float16", "fp16")
        elif isinstance(record, records.Step) and record.loss is not None:
            self.datapoints += 1
            if not math.isfinite(record.loss):
                text = f"the loss of {record.mode} step {record.step} is {record.loss}"
                yield self.fire(record, record.step, text, loss=record.loss)
        elif isinstance(record, records.Tensors):
            if self._half and record.collection == records.GRADIENTS:
                return
            self.datapoints += len(record.values)
            bad = {
                name: item.nonfinite for name, item in record.values.items() if item.nonfinite > 0
            }
            if bad:
                name, share = next(iter(bad.items()))
                text = f"{len(bad)} {record.collection} are not finite: {share:.0%} of {name}"
                yield self.fire(
                    record, record.step, text, tensors=shorten(bad), collection=record.collection
                )


@dataclass(eq=False)
class AllZero(Rule):
    """Fires when at least `threshold` percent of a tensor's elements are 0, twice in a row.

    AWS fires the first time already, and for biases. Here biases do not count, nor does the weight
    of a norm layer that starts at 0 and then learns.
    """

    class Parameters(RuleParameters):
        threshold: float = 100.0

    kind = "tensor"
    sees = (records.Tensors,)
    description = "All elements of a tensor are 0: that part of the network does nothing."
    advice = (
        "For weights, check how the module is initialised and loaded. For activations, check the "
        "layers before it (a norm with weight 0, dead ReLUs). For gradients, check that the output "
        "of the module reaches the loss."
    )
    source = "AWS built-in rule AllZero: threshold 100 %"
    needs = TENSORS

    _before: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    def see(self, record: Record) -> Iterator[Fired]:
        """Check all tensors."""
        if not isinstance(record, records.Tensors) or record.collection not in WATCHED:
            return
        self.datapoints += len(record.values)
        zero = {
            name: item.zeros
            for name, item in record.values.items()
            if 100 * item.zeros >= self.parameters.threshold and not name.endswith("bias")
        }
        key = (record.mode, record.collection)
        stayed = {name: item for name, item in zero.items() if name in self._before.get(key, ())}
        self._before[key] = frozenset(zero)
        if stayed:
            text = f"{len(stayed)} {record.collection} are all zero, such as {next(iter(stayed))}"
            yield self.fire(
                record, record.step, text, tensors=shorten(stayed), collection=record.collection
            )


@dataclass(eq=False)
class UnchangedTensor(Rule):
    """Fires when the statistics of a tensor are the same in `num_steps` recorded steps.

    "The same" means: within `rtol` and `atol`, as in numpy.isclose. AWS compares complete tensors.
    The rule checks trained weights, gradients, activations and inputs of training steps. A weight
    has changed if the optimizer step moved it by more than `atol` times its length. Gradients,
    activations and inputs near zero are left to VanishingGradient and AllZero.
    """

    class Parameters(RuleParameters):
        num_steps: int = 3
        rtol: float = 1e-5
        atol: float = 1e-8

    kind = "tensor"
    sees = (records.Tensors,)
    description = "Tensors do not change from step to step, although they should."
    advice = (
        "For weights, check that the optimizer has them and that learning_rate is not 0. For "
        "inputs, check that the loader returns different pictures in each step."
    )
    source = "AWS built-in rule UnchangedTensor: 3 steps, rtol 1e-5, atol 1e-8"
    needs = TENSORS

    _last: dict[tuple[str, str], tuple[Statistics, int]] = field(default_factory=dict)
    _graded: set[str] = field(default_factory=set)

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the tensors of training steps."""
        if not isinstance(record, records.Tensors) or record.mode != "train":
            return
        if record.collection not in WATCHED:
            return
        if record.collection == records.GRADIENTS:
            self._graded |= record.values.keys()
        same = {}
        for name, item in record.values.items():
            if not self._counts(record.collection, name, item):
                continue
            self.datapoints += 1
            before, steps = self._last.get((record.collection, name), (None, 0))
            steps = steps + 1 if before and self._same(before, item) else 1
            self._last[record.collection, name] = (item, steps)
            if steps >= self.parameters.num_steps:
                same[name] = float(steps)
        if same:
            text = f"{len(same)} {record.collection} do not change, such as {next(iter(same))}"
            yield self.fire(
                record, record.step, text, tensors=shorten(same), collection=record.collection
            )

    def _counts(self, collection: str, name: str, item: Statistics) -> bool:
        if collection == records.WEIGHTS:
            if item.change is None:
                return name in self._graded
            return bool(item.change <= self.parameters.atol)
        return item.mean_abs > 1e-7

    def _same(self, before: Statistics, now: Statistics) -> bool:
        pairs = ((getattr(before, name), getattr(now, name)) for name in _COMPARED)
        rtol, atol = self.parameters.rtol, self.parameters.atol
        return all(math.isclose(a, b, rel_tol=rtol, abs_tol=atol) for a, b in pairs)


_COMPARED = ("mean", "std", "min", "max", "l2", "mean_abs")


@dataclass(eq=False)
class TensorVariance(Rule):
    """Fires when the variance of a weight or gradient is out of bounds.

    The bounds are `max_threshold` and `min_threshold`. As with AWS, they have no default: the rule
    does nothing until you set one. It ignores biases and tensors of one element.
    """

    class Parameters(RuleParameters):
        max_threshold: float | None = None
        min_threshold: float | None = None

    kind = "tensor"
    sees = (records.Tensors,)
    description = "The variance of a tensor is too large or too small."
    advice = (
        "Too large: lower learning_rate or raise weight_decay. Too small: check how the module is "
        "initialised, and its input."
    )
    source = "AWS built-in rule TensorVariance"
    needs = 'a threshold, such as debugger_rules={"TensorVariance": {"max_threshold": 10}}'

    def see(self, record: Record) -> Iterator[Fired]:
        """Check weights and gradients, if a threshold is set."""
        low, high = self.parameters.min_threshold, self.parameters.max_threshold
        if not isinstance(record, records.Tensors) or (low is None and high is None):
            return
        if record.collection not in (records.WEIGHTS, records.GRADIENTS):
            return
        variances = {
            name: item.std * item.std
            for name, item in record.values.items()
            if item.size > 1 and not name.endswith("bias")
        }
        self.datapoints += len(variances)
        out = {
            name: item
            for name, item in variances.items()
            if (high is not None and item > high) or (low is not None and item < low)
        }
        if out:
            name, variance = next(iter(out.items()))
            text = f"the variance of {len(out)} {record.collection} is out of bounds: "
            yield self.fire(
                record,
                record.step,
                f"{text}{variance:.3g} of {name}",
                tensors=shorten(out),
                collection=record.collection,
            )

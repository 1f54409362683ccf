"""Rules over tensors of any collection."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from debugger import records
from debugger.records import Fired, Record, Statistics
from debugger.rules.rule import Rule, RuleParameters

NAMED = 10  # tensors, in a firing's evidence
WATCHED = (records.WEIGHTS, records.GRADIENTS, records.ACTIVATIONS, records.INPUTS)
TENSORS = "weights, gradients or activations among debugger_collections"


def some(found: Mapping[str, float]) -> dict[str, float]:
    """Return the first few of many."""
    return dict(list(found.items())[:NAMED])


@dataclass(eq=False)
class ExplodingTensor(Rule):
    """Fires where a tensor or the loss holds NaN or infinity.

    AWS's `only_nan` is not here: a recording counts both as one. In fp16 an infinite gradient alone
    is no finding, for the loss scale is found by trying and that step is skipped.
    """

    kind = "tensor"
    sees = (records.Start, records.Step, records.Tensors)
    description = "Tensors hold NaN or infinite values: nothing is learned from there on."
    advice = (
        "Lower learning_rate, add warmup_epochs or set clip_gradient_norm=1. The first tensor "
        "named is where it began; if it is `images`, the pictures are at fault. With fp16 try bf16."
    )
    source = "AWS built-in rule ExplodingTensor"
    needs = TENSORS

    _half: bool = False

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at losses and at all tensors."""
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
            bad = {name: one.nonfinite for name, one in record.values.items() if one.nonfinite > 0}
            if bad:
                name, share = next(iter(bad.items()))
                text = f"{len(bad)} {record.collection} are not finite: {share:.0%} of {name}"
                yield self.fire(
                    record, record.step, text, tensors=some(bad), collection=record.collection
                )


@dataclass(eq=False)
class AllZero(Rule):
    """Fires where at least `threshold` percent of a tensor's elements are 0, twice in a row.

    AWS fires the first time, and for biases: here neither a bias nor a norm's weight that begins at
    0 and learns is a finding.
    """

    class Parameters(RuleParameters):
        threshold: float = 100.0

    kind = "tensor"
    sees = (records.Tensors,)
    description = "Tensors hold nothing but zeros: that part of the network does nothing."
    advice = (
        "For weights, look at how the module named is initialised and loaded; for activations, at "
        "what comes before it (a norm whose weight is 0, dead ReLUs); for gradients, at whether "
        "its output reaches the loss."
    )
    source = "AWS built-in rule AllZero: threshold 100 %"
    needs = TENSORS

    _before: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at all tensors."""
        if not isinstance(record, records.Tensors) or record.collection not in WATCHED:
            return
        self.datapoints += len(record.values)
        zero = {
            name: one.zeros
            for name, one in record.values.items()
            if 100 * one.zeros >= self.parameters.threshold and not name.endswith("bias")
        }
        key = (record.mode, record.collection)
        stayed = {name: one for name, one in zero.items() if name in self._before.get(key, ())}
        self._before[key] = frozenset(zero)
        if stayed:
            text = f"{len(stayed)} {record.collection} are all zero, such as {next(iter(stayed))}"
            yield self.fire(
                record, record.step, text, tensors=some(stayed), collection=record.collection
            )


@dataclass(eq=False)
class UnchangedTensor(Rule):
    """Fires where a tensor's statistics stay the same over `num_steps` recorded steps.

    The same is what numpy.isclose calls so, by `rtol` and `atol`; AWS compares whole tensors.
    Looked at are weights that are trained, gradients, activations and inputs in training. Weights
    that an optimizer step moves by more than `atol` of their length are not unchanged; gradients,
    activations and inputs that are nearly zero are for VanishingGradient and AllZero.
    """

    class Parameters(RuleParameters):
        num_steps: int = 3
        rtol: float = 1e-5
        atol: float = 1e-8

    kind = "tensor"
    sees = (records.Tensors,)
    description = "Tensors stay the same from step to step although they are to be trained."
    advice = (
        "For weights, see that the optimizer was given them and that learning_rate is not 0; for "
        "inputs, that the loader brings other pictures each step."
    )
    source = "AWS built-in rule UnchangedTensor: 3 steps, rtol 1e-5, atol 1e-8"
    needs = TENSORS

    _last: dict[tuple[str, str], tuple[Statistics, int]] = field(default_factory=dict)
    _graded: set[str] = field(default_factory=set)

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at the tensors of training steps."""
        if not isinstance(record, records.Tensors) or record.mode != "train":
            return
        if record.collection not in WATCHED:
            return
        if record.collection == records.GRADIENTS:
            self._graded |= record.values.keys()
        same = {}
        for name, one in record.values.items():
            if not self._counts(record.collection, name, one):
                continue
            self.datapoints += 1
            before, steps = self._last.get((record.collection, name), (None, 0))
            steps = steps + 1 if before and self._same(before, one) else 1
            self._last[record.collection, name] = (one, steps)
            if steps >= self.parameters.num_steps:
                same[name] = float(steps)
        if same:
            text = f"{len(same)} {record.collection} do not change, such as {next(iter(same))}"
            yield self.fire(
                record, record.step, text, tensors=some(same), collection=record.collection
            )

    def _counts(self, collection: str, name: str, one: Statistics) -> bool:
        if collection == records.WEIGHTS:
            if one.change is None:
                return name in self._graded
            return bool(one.change <= self.parameters.atol)
        return one.mean_abs > 1e-7

    def _same(self, before: Statistics, now: Statistics) -> bool:
        pairs = ((getattr(before, name), getattr(now, name)) for name in _COMPARED)
        rtol, atol = self.parameters.rtol, self.parameters.atol
        return all(math.isclose(a, b, rel_tol=rtol, abs_tol=atol) for a, b in pairs)


_COMPARED = ("mean", "std", "min", "max", "l2", "mean_abs")


@dataclass(eq=False)
class TensorVariance(Rule):
    """Fires where the variance of a weight or gradient is out of bounds.

    Those are `max_threshold` and `min_threshold`. Neither has a default, as with AWS: the rule is
    silent until one is set. Biases and tensors of a
    single element are passed over.
    """

    class Parameters(RuleParameters):
        max_threshold: float | None = None
        min_threshold: float | None = None

    kind = "tensor"
    sees = (records.Tensors,)
    description = "Tensors vary much more, or much less, than they should."
    advice = (
        "Too much: lower learning_rate or raise weight_decay. Too little: look at the "
        "initialisation of the module named and at what feeds it."
    )
    source = "AWS built-in rule TensorVariance"
    needs = 'a threshold, such as debugger_rules={"TensorVariance": {"max_threshold": 10}}'

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at weights and gradients, once a threshold is set."""
        low, high = self.parameters.min_threshold, self.parameters.max_threshold
        if not isinstance(record, records.Tensors) or (low is None and high is None):
            return
        if record.collection not in (records.WEIGHTS, records.GRADIENTS):
            return
        variances = {
            name: one.std * one.std
            for name, one in record.values.items()
            if one.size > 1 and not name.endswith("bias")
        }
        self.datapoints += len(variances)
        out = {
            name: one
            for name, one in variances.items()
            if (high is not None and one > high) or (low is not None and one < low)
        }
        if out:
            name, variance = next(iter(out.items()))
            text = f"the variance of {len(out)} {record.collection} is out of bounds: "
            yield self.fire(
                record,
                record.step,
                f"{text}{variance:.3g} of {name}",
                tensors=some(out),
                collection=record.collection,
            )

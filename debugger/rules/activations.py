"""Rules over activations."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.tensors import some


class ThresholdLayer(RuleParameters):
    """The percentage of a layer's channels from which on it fires."""

    threshold_layer: float = 50.0


@dataclass(eq=False)
class _Inactive(Rule):
    """Fires where over `threshold_layer` percent of a layer's channels do nothing."""

    kind = "tensor"
    sees = (records.Tensors,)
    needs = "`activations` among debugger_collections, and layers of that kind in the network"
    Parameters = ThresholdLayer
    field: ClassVar[str]
    said: ClassVar[str]

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at the activations of training steps."""
        if not isinstance(record, records.Tensors) or record.collection != records.ACTIVATIONS:
            return
        shares = {name: getattr(one, self.field) for name, one in record.values.items()}
        shares = {name: one for name, one in shares.items() if one is not None}
        self.datapoints += len(shares)
        bad = {n: one for n, one in shares.items() if 100 * one > self.parameters.threshold_layer}
        if bad:
            worst = max(bad, key=lambda name: bad[name])
            text = f"{bad[worst]:.0%} of the channels of {worst} are {self.said}"
            more = f" ({len(bad)} of {len(shares)} such layers)"
            yield self.fire(record, record.step, text + more, layers=some(bad))


@dataclass(eq=False)
class SaturatedActivation(_Inactive):
    """Fires where over `threshold_layer` percent of a sigmoid's or tanh's channels are flat.

    Flat is a channel whose input lies beyond -23 or 16.99999 (sigmoid), or ±9.4999 (tanh), in more
    than 99 % of places: the recorder counts them (threshold_inactivity 1 % of AWS's).
    """

    description = "Sigmoids or tanhs sit in their flat parts, where no gradient passes."
    advice = (
        "Lower learning_rate, normalise what goes into the layer named (batch norm, smaller "
        "weights), or use another activation."
    )
    source = "AWS built-in rule SaturatedActivation: tanh 9.4999, sigmoid -23 and 17, 1 %, 50 %"
    field = "saturated"
    said = "saturated"


@dataclass(eq=False)
class DeadRelu(_Inactive):
    """Fires where over `threshold_layer` percent of a ReLU's channels are dead.

    Dead is a channel above 0 in fewer than 1 % of places: the recorder counts them
    (threshold_inactivity 1 % of AWS's).
    """

    description = "ReLUs put out zeros for nearly everything, and can hardly learn their way back."
    advice = (
        "Lower learning_rate, look for large negative biases before the layer named, or use a "
        "leaky activation."
    )
    source = "AWS built-in rule DeadRelu: 1 %, 50 %"
    field = "dead"
    said = "dead"

"""Rules over activations."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.tensor.tensors import shorten


class ThresholdLayer(RuleParameters):
    """`threshold_layer` is the percentage of a layer's channels above which the rule fires."""

    threshold_layer: float = 50.0


@dataclass(eq=False)
class _Inactive(Rule):
    """Fires when over `threshold_layer` percent of the channels of a layer do nothing."""

    kind = "tensor"
    sees = (records.Tensors,)
    needs = "`activations` among debugger_collections, and layers of that kind in the network"
    Parameters = ThresholdLayer
    field: ClassVar[str]
    state: ClassVar[str]

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the activations of training steps."""
        if not isinstance(record, records.Tensors) or record.collection != records.ACTIVATIONS:
            return
        shares = {name: getattr(item, self.field) for name, item in record.values.items()}
        shares = {name: item for name, item in shares.items() if item is not None}
        self.datapoints += len(shares)
        bad = {
            n: item for n, item in shares.items() if 100 * item > self.parameters.threshold_layer
        }
        if bad:
            worst = max(bad, key=lambda name: bad[name])
            text = f"{bad[worst]:.0%} of the channels of {worst} are {self.state}"
            more = f" ({len(bad)} of {len(shares)} such layers)"
            yield self.fire(record, record.step, text + more, layers=shorten(bad))


@dataclass(eq=False)
class SaturatedActivation(_Inactive):
    """Fires when over `threshold_layer` percent of the channels of a sigmoid or tanh are saturated.

    A channel is saturated if its input is outside of -23 to 16.99999 (sigmoid) or ±9.4999 (tanh) in
    more than 99 % of positions. The recorder counts them, with AWS's threshold_inactivity of 1 %.
    """

    description = "Sigmoids or tanhs are saturated: no gradient passes through them."
    advice = (
        "Lower learning_rate, normalise the input of the layer named (batch norm, smaller "
        "weights), or use another activation."
    )
    source = "AWS built-in rule SaturatedActivation: tanh 9.4999, sigmoid -23 and 17, 1 %, 50 %"
    field = "saturated"
    state = "saturated"


@dataclass(eq=False)
class DeadRelu(_Inactive):
    """Fires when over `threshold_layer` percent of the channels of a ReLU are dead.

    A channel is dead if it is above 0 in less than 1 % of positions. The recorder counts them, with
    AWS's threshold_inactivity of 1 %.
    """

    description = "ReLUs output almost only zeros, and can hardly recover."
    advice = (
        "Lower learning_rate, check for large negative biases before the layer named, or use a "
        "leaky activation."
    )
    source = "AWS built-in rule DeadRelu: 1 %, 50 %"
    field = "dead"
    state = "dead"

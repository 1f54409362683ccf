"""Rules over gradients."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters


@dataclass(eq=False)
class VanishingGradient(Rule):
    """Fires at a step where a module's gradients are below `threshold` in absolute value.

    The mean counts. AWS looks at each parameter on its own; here the largest of a module counts:
    the bias of a convolution before a batch norm has no gradient by construction. And nothing fires
    while the loss is below 0.001: a network that has learned its pictures has small gradients
    everywhere.
    """

    class Parameters(RuleParameters):
        threshold: float = 1e-7

    kind = "tensor"
    sees = (records.Step, records.Tensors)
    description = "Gradients are nearly zero, so the layers before them do not learn."
    advice = (
        "Look at the first layer named: what follows it lets no gradient through (saturated or "
        "dead activations, a zeroed norm weight, a very deep stack without shortcuts). Use "
        "ReLU-like activations, batch norm and pretrained weights; with fp16 try bf16."
    )
    source = "AWS built-in rule VanishingGradient: threshold 1e-7"
    needs = "`gradients` among debugger_collections"

    _loss: float = 1.0

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at gradients, and at the loss."""
        if isinstance(record, records.Step) and record.mode == "train" and record.loss is not None:
            self._loss = record.loss
        if not isinstance(record, records.Tensors) or record.collection != records.GRADIENTS:
            return
        modules: dict[str, float] = defaultdict(float)
        for name, one in record.values.items():
            module = name.rpartition(".")[0] or name
            # What is not a number is another rule's finding.
            modules[module] = max(modules[module], 1.0 if one.nonfinite else one.mean_abs)
        self.datapoints += len(record.values)
        low = {name: one for name, one in modules.items() if one < self.parameters.threshold}
        if low and self._loss > 1e-3:
            least = min(low, key=lambda name: low[name])
            yield self.fire(
                record,
                record.step,
                f"{len(low)} of {len(modules)} modules have vanishing gradients: "
                f"{least} has {low[least]:.2g} on average",
                modules=dict(list(low.items())[:10]),
                threshold=self.parameters.threshold,
            )

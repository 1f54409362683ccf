"""The rule over gradients."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import TRY_BF16, Rule, RuleParameters
from debugger.rules.tensor.tensors import shorten


@dataclass(eq=False)
class VanishingGradient(Rule):
    """Fires at a step where the mean absolute gradient of a module is below `threshold`.

    AWS checks each parameter separately. Here the largest gradient of a module counts, because the
    bias of a convolution before a batch norm never has a gradient. The rule does not fire while the
    loss is below 0.001: a network that has learned its pictures has small gradients everywhere.
    """

    class Parameters(RuleParameters):
        threshold: float = 1e-7

    kind = "tensor"
    sees = (records.Step, records.Tensors)
    description = "Gradients are almost zero, so these layers and those before them do not learn."
    advice = (
        "Check what follows the first layer named: something blocks the gradient (saturated or "
        "dead activations, a norm with weight 0, a very deep stack without shortcuts). Use "
        f"ReLU-like activations, batch norm and pretrained weights. {TRY_BF16}"
    )
    source = "AWS built-in rule VanishingGradient: threshold 1e-7"
    needs = "`gradients` among debugger_collections"

    def advise(self) -> str:
        """Leave out pretrained weights if the job has some, and fp16 where it is not used."""
        pretrained = self.setting("weights") not in (None, "none")
        text = self.advice
        if pretrained:
            text = text.replace(", batch norm and pretrained weights", " and batch norm")
        return self.without_fp16(text)

    _loss: float = 1.0

    def see(self, record: Record) -> Iterator[Fired]:
        """Check gradients and the loss."""
        if isinstance(record, records.Step) and record.mode == "train" and record.loss is not None:
            self._loss = record.loss
        if not isinstance(record, records.Tensors) or record.collection != records.GRADIENTS:
            return
        modules: dict[str, float] = defaultdict(float)
        for name, item in record.values.items():
            module = name.rpartition(".")[0] or name
            # NaN and infinity are for ExplodingTensor.
            modules[module] = max(modules[module], 1.0 if item.nonfinite else item.mean_abs)
        self.datapoints += len(record.values)
        low = {name: item for name, item in modules.items() if item < self.parameters.threshold}
        if low and self._loss > 1e-3:
            least = min(low, key=lambda name: low[name])
            yield self.fire(
                record,
                record.step,
                f"{len(low)} of {len(modules)} modules have vanishing gradients: "
                f"{least} has {low[least]:.2g} on average",
                modules=shorten(low),
                threshold=self.parameters.threshold,
            )

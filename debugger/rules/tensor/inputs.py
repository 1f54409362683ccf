"""The rule over the input pictures."""

from collections.abc import Iterator
from dataclasses import dataclass

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters


@dataclass(eq=False)
class CheckInputImages(Rule):
    """Fires when pictures are not normalised.

    The rule checks every `threshold_samples` pictures. It fires when their mean is further than
    `threshold_mean` from 0, and either no value is below 0 or an absolute value is over
    `threshold_range`. AWS checks the mean only; but correctly normalised dark or bright pictures
    also have a mean far from 0.
    """

    class Parameters(RuleParameters):
        threshold_mean: float = 0.2
        threshold_samples: int = 500
        threshold_range: float = 10.0

    kind = "tensor"
    sees = (records.Start, records.Step, records.Tensors)
    description = "The input pictures are not normalised, or normalised wrongly."
    advice = (
        "Scale the pictures to 0..1, then subtract the mean and divide by the standard deviation "
        "that the pretrained weights were trained with."
    )
    source = "AWS built-in rule CheckInputImages: mean 0.2, 500 samples"
    needs = "`inputs` among debugger_collections, and 500 pictures at recorded steps"

    _batch: int = 1
    _samples: int = 0
    _sum: float = 0.0
    _low: float = 0.0
    _high: float = 0.0

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the inputs of recorded steps."""
        if isinstance(record, records.Start):
            self._batch = int(record.facts.get("batch_size") or 1)
        elif isinstance(record, records.Step):
            self._batch = max(1, record.size)
        elif isinstance(record, records.Tensors) and record.collection == records.INPUTS:
            for name, item in record.values.items():
                if not self._samples:
                    self._low, self._high = item.min, item.max
                self._samples += self._batch
                self._sum += self._batch * item.mean
                self._low, self._high = min(self._low, item.min), max(self._high, item.max)
                if self._samples >= self.parameters.threshold_samples:
                    self.datapoints += self._samples
                    yield from self._judge(record, name)
                    self._samples, self._sum = 0, 0.0

    def _judge(self, record: records.Tensors, name: str) -> Iterator[Fired]:
        mean = self._sum / self._samples
        unnormalised = (
            self._low >= 0 or max(-self._low, self._high) > self.parameters.threshold_range
        )
        if abs(mean) > self.parameters.threshold_mean and unnormalised:
            text = f"{name}: mean {mean:.3g}, values from {self._low:.3g} to {self._high:.3g}"
            yield self.fire(record, record.step, text, mean=mean, min=self._low, max=self._high)

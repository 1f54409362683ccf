"""Rules over the pictures that the network is given."""

from collections.abc import Iterator
from dataclasses import dataclass

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters


@dataclass(eq=False)
class CheckInputImages(Rule):
    """Fires when pictures were not normalised.

    Looks at their mean from `threshold_samples` pictures on, and at each such number again: fires
    when it is off 0 by over `threshold_mean` and no picture has a value below 0, or one is over
    `threshold_range`. AWS asks for the mean alone; pictures that are dark or bright by nature have
    one, correctly normalised by another data set's figures.
    """

    class Parameters(RuleParameters):
        threshold_mean: float = 0.2
        threshold_samples: int = 500
        threshold_range: float = 10.0

    kind = "tensor"
    sees = (records.Start, records.Step, records.Tensors)
    description = "Pictures reach the network unnormalised, or normalised wrongly."
    advice = (
        "Scale them to 0..1, subtract the mean and divide by the standard deviation that the "
        "pretrained weights were trained with."
    )
    source = "AWS built-in rule CheckInputImages: mean 0.2, 500 samples"
    needs = "`inputs` among debugger_collections, and 500 pictures at recorded steps"

    _batch: int = 1
    _samples: int = 0
    _sum: float = 0.0
    _low: float = 0.0
    _high: float = 0.0

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at the inputs of recorded steps."""
        if isinstance(record, records.Start):
            self._batch = int(record.facts.get("batch_size") or 1)
        elif isinstance(record, records.Step):
            self._batch = max(1, record.size)
        elif isinstance(record, records.Tensors) and record.collection == records.INPUTS:
            for name, one in record.values.items():
                if not self._samples:
                    self._low, self._high = one.min, one.max
                self._samples += self._batch
                self._sum += self._batch * one.mean
                self._low, self._high = min(self._low, one.min), max(self._high, one.max)
                if self._samples >= self.parameters.threshold_samples:
                    self.datapoints += self._samples
                    yield from self._judge(record, name)
                    self._samples, self._sum = 0, 0.0

    def _judge(self, record: records.Tensors, name: str) -> Iterator[Fired]:
        mean = self._sum / self._samples
        odd = self._low >= 0 or max(-self._low, self._high) > self.parameters.threshold_range
        if abs(mean) > self.parameters.threshold_mean and odd:
            text = f"{name} have a mean of {mean:.3g}, between {self._low:.3g} and {self._high:.3g}"
            yield self.fire(record, record.step, text, mean=mean, min=self._low, max=self._high)

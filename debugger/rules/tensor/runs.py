"""The rule that compares two runs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from debugger import recording, records
from debugger.records import Fired, Record, Statistics
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.tensor.tensors import shorten


@dataclass(eq=False)
class SimilarAcrossRuns(Rule):
    """Fires when a tensor differs from the same tensor of another run at the same step.

    It differs if mean, standard deviation, minimum, maximum or l2 norm differ by more than `rtol`
    times the larger value and by more than `atol`. `other_recording` is the recording of the other
    run. AWS's definition says only "compares tensors of two trials".
    """

    class Parameters(RuleParameters):
        other_recording: str = ""
        rtol: float = 1e-3
        atol: float = 1e-6

    kind = "tensor"
    sees = (records.Tensors,)
    description = "Tensors differ from those of another run that should be identical."
    advice = (
        "The runs begin to differ at the first tensor named: compare the data, seed, "
        "hyperparameters and versions of both runs."
    )
    source = "AWS built-in rule SimilarAcrossRuns"
    needs = (
        'the other run: debugger_rules={"SimilarAcrossRuns": {"other_recording": "…/recording"}}'
    )

    _other: dict[tuple[str, int, str], Mapping[str, Statistics]] | None = field(default=None)

    def see(self, record: Record) -> Iterator[Fired]:
        """Compare tensors with those of the other run."""
        if not isinstance(record, records.Tensors) or not self.parameters.other_recording:
            return
        if record.rank:
            return
        if self._other is None:
            self._other = {
                (item.mode, item.step, item.collection): item.values
                for item in recording.read(Path(self.parameters.other_recording))
                if isinstance(item, records.Tensors) and not item.rank
            }
        other = self._other.get((record.mode, record.step, record.collection), {})
        common = [name for name in record.values if name in other]
        self.datapoints += len(common)
        different = {
            name: record.values[name].mean
            for name in common
            if not self._similar(record.values[name], other[name])
        }
        if different:
            name = next(iter(different))
            text = f"{len(different)} {record.collection} differ from the other run, first {name}"
            yield self.fire(
                record, record.step, text, tensors=shorten(different), collection=record.collection
            )

    def _similar(self, a: Statistics, b: Statistics) -> bool:
        rtol, atol = self.parameters.rtol, self.parameters.atol
        return all(
            math.isclose(getattr(a, name), getattr(b, name), rel_tol=rtol, abs_tol=atol)
            for name in ("mean", "std", "min", "max", "l2")
        )

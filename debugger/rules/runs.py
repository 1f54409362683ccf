"""Rules over two runs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from debugger import recording, records
from debugger.records import Fired, Record, Statistics
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.tensors import some


@dataclass(eq=False)
class SimilarAcrossRuns(Rule):
    """Fires where a tensor is not what it was in another run at the same step.

    That is, when mean, spread, extremes or length differ by more than `rtol` of the larger and by
    more than `atol`. AWS's own definition is no more than "compares tensors of two trials".
    """

    class Parameters(RuleParameters):
        other_recording: str = ""
        rtol: float = 1e-3
        atol: float = 1e-6

    kind = "tensor"
    sees = (records.Tensors,)
    description = "Tensors differ from those of another run that should be the same."
    advice = (
        "The first tensor named is where the runs part: compare data, seed, hyperparameters and "
        "versions of both."
    )
    source = "AWS built-in rule SimilarAcrossRuns"
    needs = (
        'the other run: debugger_rules={"SimilarAcrossRuns": {"other_recording": "…/recording"}}'
    )

    _other: dict[tuple[str, int, str], Mapping[str, Statistics]] | None = field(default=None)

    def see(self, record: Record) -> Iterator[Fired]:
        """Compare tensors with the other run's."""
        if not isinstance(record, records.Tensors) or not self.parameters.other_recording:
            return
        if record.rank:
            return
        if self._other is None:
            self._other = {
                (one.mode, one.step, one.collection): one.values
                for one in recording.read(Path(self.parameters.other_recording))
                if isinstance(one, records.Tensors) and not one.rank
            }
        theirs = self._other.get((record.mode, record.step, record.collection), {})
        both = [name for name in record.values if name in theirs]
        self.datapoints += len(both)
        apart = {
            name: record.values[name].mean
            for name in both
            if not self._alike(record.values[name], theirs[name])
        }
        if apart:
            name = next(iter(apart))
            text = f"{len(apart)} {record.collection} differ from the other run, first {name}"
            yield self.fire(
                record, record.step, text, tensors=some(apart), collection=record.collection
            )

    def _alike(self, a: Statistics, b: Statistics) -> bool:
        rtol, atol = self.parameters.rtol, self.parameters.atol
        return all(
            math.isclose(getattr(a, name), getattr(b, name), rel_tol=rtol, abs_tol=atol)
            for name in ("mean", "std", "min", "max", "l2")
        )

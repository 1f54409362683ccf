"""Rules over confusion matrices."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.tensor.tensors import shorten

NEEDS = "confusion matrices, which a job records unless debugger=false"
_ENOUGH = 20  # pictures per class on average; with fewer, the counts are mostly chance


def pictures_by_class(record: records.Confusion) -> Counter[int]:
    """Return the number of pictures of each class."""
    counted: Counter[int] = Counter()
    for true, _, pictures in record.counts:
        counted[true] += pictures
    return counted


def correct_by_class(record: records.Confusion) -> Counter[int]:
    """Return the number of correctly classified pictures of each class."""
    return Counter({true: n for true, answer, n in record.counts if true == answer})


@dataclass(eq=False)
class ClassImbalance(Rule):
    """Fires when the classes have very different numbers of pictures, or a rare class fails.

    Training and evaluation are checked separately, after `samples` pictures and 20 per class on
    average. The rule fires when the largest class has over `threshold_imbalance` times the pictures
    of the smallest. In an evaluation it also fires when a rare class (5 pictures or more, but less
    than half the average) is wrong for over `threshold_misprediction` of its pictures, while less
    than 30 % of all pictures are wrong. AWS checks the mispredictions of all classes, so every
    network fires in its first epochs.
    """

    class Parameters(RuleParameters):
        threshold_imbalance: float = 10.0
        threshold_misprediction: float = 0.7
        samples: int = 500

    kind = "tensor"
    sees = (records.Confusion,)
    description = "Some classes have many more pictures than others."
    advice = (
        "Add pictures of the classes named, or set class_weights=balanced. Judge the model by "
        "macro_f1, not by accuracy."
    )
    source = "AWS built-in rule ClassImbalance: 10, 0.7, 500 samples"
    needs = f"{NEEDS}; at least 500 pictures and 20 per class"

    def advise(self) -> str:
        """Leave out class weights if they are balanced."""
        balanced = self.setting("class_weights") == "balanced"
        return (
            self.advice.replace(", or set class_weights=balanced", "") if balanced else self.advice
        )

    _trained: Counter[int] = field(default_factory=Counter)
    _counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def see(self, record: Record) -> Iterator[Fired]:
        """Check confusion matrices; those of training are summed."""
        if not isinstance(record, records.Confusion):
            return
        counts = pictures_by_class(record)
        if record.mode == "train":
            self._trained.update(counts)
            counts = self._trained
        total = counts.total()
        if total < max(self.parameters.samples, _ENOUGH * record.classes):
            return
        self.datapoints += 1
        by_class = {name: counts.get(name, 0) for name in range(record.classes)}
        most = max(by_class, key=lambda name: by_class[name])
        least = min(by_class, key=lambda name: by_class[name])
        self._counts[record.mode] = {str(name): count for name, count in by_class.items()}
        ratio = by_class[most] / max(1, by_class[least])
        if ratio > self.parameters.threshold_imbalance:
            yield self.fire(
                record,
                record.step,
                f"class {most} has {by_class[most]} pictures in {record.mode}, "
                f"class {least} has {by_class[least]}",
                most=most,
                least=least,
                ratio=ratio,
                mode=record.mode,
            )
        if record.mode == "eval":
            yield from self._failed(record, by_class)

    def _failed(self, record: records.Confusion, counts: Mapping[int, int]) -> Iterator[Fired]:
        right, total = correct_by_class(record), sum(counts.values())
        if right.total() < 0.7 * total:
            return
        wrong = {
            name: 1 - right[name] / count
            for name, count in counts.items()
            if 5 <= count < total / record.classes / 2
        }
        limit = self.parameters.threshold_misprediction
        failed = {str(name): share for name, share in wrong.items() if share > limit}
        if failed:
            name, share = next(iter(failed.items()))
            text = f"{len(failed)} rare classes fail: {share:.0%} of class {name} are wrong"
            yield self.fire(record, record.step, text, classes=shorten(failed))

    def details(self) -> Mapping[str, Any]:
        """Return the number of pictures of each class."""
        return {"pictures": self._counts}


@dataclass(eq=False)
class Confusion(Rule):
    """Fires when one class is predicted as another, in two evaluations in a row.

    All of these must hold: the class has at least `min_pictures` pictures; less than `min_diag` of
    them are right; over `max_off_diag` of them are predicted as one other class, and those are at
    least as many as the right ones; at least half of all pictures are right. AWS checks `min_diag`
    and `max_off_diag` only, so most networks with many classes fire.
    """

    class Parameters(RuleParameters):
        min_diag: float = 0.9
        max_off_diag: float = 0.1
        min_pictures: int = 10

    kind = "tensor"
    sees = (records.Confusion,)
    description = "Pictures of one class are predicted as another class."
    advice = (
        "Look at pictures of both classes: perhaps their folders or labels are swapped, or both "
        "hold the same objects. If not, they need more pictures or a larger image_size."
    )
    source = "AWS built-in rule Confusion: diagonal 0.9, off-diagonal 0.1"
    needs = NEEDS

    _pairs: list[dict[str, Any]] = field(default_factory=list)
    _before: set[tuple[int, int]] = field(default_factory=set)

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the confusion matrices of evaluations."""
        if not isinstance(record, records.Confusion) or record.mode != "eval":
            return
        counts, right = pictures_by_class(record), correct_by_class(record)
        self.datapoints += 1
        known = 2 * right.total() >= counts.total()
        shares = {
            (true, answer): pictures / counts[true]
            for true, answer, pictures in record.counts
            if known and true != answer and pictures >= right[true]
            if counts[true] >= self.parameters.min_pictures
            if right[true] < self.parameters.min_diag * counts[true]
            if pictures > self.parameters.max_off_diag * counts[true]
        }
        self._pairs = [
            {"true": true, "answered": answer, "share": share}
            for (true, answer), share in shares.items()
            if (true, answer) in self._before
        ]
        self._before = set(shares)
        if self._pairs:
            worst = max(self._pairs, key=lambda pair: pair["share"])
            share, true, answer = worst["share"], worst["true"], worst["answered"]
            text = f"{share:.0%} of class {true} are predicted as {answer}"
            yield self.fire(record, record.step, text, pairs=self._pairs[:10])

    def details(self) -> Mapping[str, Any]:
        """Return the pairs of the last evaluation."""
        return {"pairs": self._pairs}

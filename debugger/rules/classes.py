"""Rules over answers against truth."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.tensors import some

NEEDS = "confusion matrices, which a job records unless debugger=off"
_ENOUGH = 20  # pictures a class on average, before counts say more than chance


def rows(record: records.Confusion) -> Counter[int]:
    """Return how many pictures each class has."""
    counted: Counter[int] = Counter()
    for true, _, pictures in record.counts:
        counted[true] += pictures
    return counted


def hits(record: records.Confusion) -> Counter[int]:
    """Return how many pictures of each class were answered rightly."""
    return Counter({true: n for true, answer, n in record.counts if true == answer})


@dataclass(eq=False)
class ClassImbalance(Rule):
    """Fires when classes are too unlike in number, or a rare one is lost.

    Training and evaluation are looked at apart, from `samples` pictures on and 20 for each class on
    average: fires when the most frequent class has over `threshold_imbalance` times the pictures of
    the least frequent one; and in an evaluation when a class of less than half the average number
    (and 5 at least) is answered wrongly in over `threshold_misprediction` of its pictures, while
    all together are wrong in less than 30 %. AWS looks at the mispredictions of all classes, which
    no network passes in its first epochs.
    """

    class Parameters(RuleParameters):
        threshold_imbalance: float = 10.0
        threshold_misprediction: float = 0.7
        samples: int = 500

    kind = "tensor"
    sees = (records.Confusion,)
    description = "Some classes have many times the pictures of others."
    advice = (
        "Add pictures of the classes named, or set class_weights=balanced; look at macro_f1 rather "
        "than accuracy."
    )
    source = "AWS built-in rule ClassImbalance: 10, 0.7, 500 samples"
    needs = f"{NEEDS}; 500 pictures, and 20 a class"

    _trained: Counter[int] = field(default_factory=Counter)
    _counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at confusion matrices; those of training are added up."""
        if not isinstance(record, records.Confusion):
            return
        counts = rows(record)
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
            yield from self._lost(record, by_class)

    def _lost(self, record: records.Confusion, counts: Mapping[int, int]) -> Iterator[Fired]:
        right, total = hits(record), sum(counts.values())
        if right.total() < 0.7 * total:
            return
        wrong = {
            name: 1 - right[name] / count
            for name, count in counts.items()
            if 5 <= count < total / record.classes / 2
        }
        limit = self.parameters.threshold_misprediction
        lost = {str(name): share for name, share in wrong.items() if share > limit}
        if lost:
            name, share = next(iter(lost.items()))
            text = f"{len(lost)} rare classes are lost: class {name} is wrong in {share:.0%}"
            yield self.fire(record, record.step, text, classes=some(lost))

    def details(self) -> Mapping[str, Any]:
        """Return how many pictures each class has."""
        return {"pictures": self._counts}


@dataclass(eq=False)
class Confusion(Rule):
    """Fires when an evaluation takes one class for another.

    That is, when a class of at least `min_pictures` is right in less than `min_diag` of its
    pictures, and over `max_off_diag` of them, and no fewer than are right, are taken for one other
    class; while at least half of all pictures are right, and in two evaluations in a row. AWS asks
    for the first two numbers alone, which few networks of many classes satisfy.
    """

    class Parameters(RuleParameters):
        min_diag: float = 0.9
        max_off_diag: float = 0.1
        min_pictures: int = 10

    kind = "tensor"
    sees = (records.Confusion,)
    description = "Pictures of one class are taken for another."
    advice = (
        "Look at pictures of both classes named: their folders or labels may be swapped, or the "
        "same things lie in both. If not, they need more pictures or a larger image_size."
    )
    source = "AWS built-in rule Confusion: diagonal 0.9, off it 0.1"
    needs = NEEDS

    _pairs: list[dict[str, Any]] = field(default_factory=list)
    _before: set[tuple[int, int]] = field(default_factory=set)

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at the confusion matrices of evaluations."""
        if not isinstance(record, records.Confusion) or record.mode != "eval":
            return
        counts, right = rows(record), hits(record)
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
            text = (
                f"{worst['share']:.0%} of class {worst['true']} are taken for {worst['answered']}"
            )
            yield self.fire(record, record.step, text, pairs=self._pairs[:10])

    def details(self) -> Mapping[str, Any]:
        """Return the pairs of the last evaluation."""
        return {"pairs": self._pairs}

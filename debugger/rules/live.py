"""Rules while the job runs: each record is shown to all of them, and none can fail training."""

from collections.abc import Sequence
from dataclasses import dataclass

from debugger.records import Fired, Note, Record
from debugger.rules.rule import SHOWN, Action, Result, Rule


@dataclass(frozen=True)
class Reaction:
    """What came of a record: a firing, or the note that a rule broke; and what to do about it."""

    record: Fired | Note
    action: Action


class Live:
    """Shows records to rules, in the order in which they happen."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = list(rules)
        self._seeing: dict[type[Record], list[Rule]] = {}  # by kind of record, those still whole

    def feed(self, record: Record) -> list[Reaction]:
        """Return what fired: the first 20 times of each rule, and never more.

        Never raises: a rule that does is switched off, which a Note tells.
        """
        reactions = []
        kind = type(record)
        if kind not in self._seeing:
            whole = [rule for rule in self.rules if not rule.broken]
            self._seeing[kind] = [rule for rule in whole if issubclass(kind, rule.sees)]
        for rule in self._seeing[kind]:
            try:
                for fired in rule.look(record):
                    if rule.times <= SHOWN:
                        reactions.append(Reaction(fired, rule.parameters.action))
            except Exception as error:
                rule.broken = f"{type(error).__name__}: {error}"
                self._seeing = {}
                text = f"rule {type(rule).__name__} is switched off: {rule.broken}"
                note = Note(record.at, text, rank=record.rank, host=record.host)
                reactions.append(Reaction(note, "log"))
        return reactions

    def results(self) -> list[Result]:
        """Return what the rules found so far."""
        return [rule.result() for rule in self.rules]

"""Runs rules while the job runs: a rule that raises an error never fails the training."""

from collections.abc import Sequence
from dataclasses import dataclass

from debugger.records import Fired, Note, Record, Start
from debugger.rules.rule import SHOWN, Action, Result, Rule


@dataclass(frozen=True)
class Reaction:
    """A firing, or a note that a rule was switched off; and the action to take."""

    record: Fired | Note
    action: Action


class Live:
    """Feeds records to rules, in the order of time."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = list(rules)
        self._readers: dict[type[Record], list[Rule]] = {}  # by kind of record

    def feed(self, record: Record) -> list[Reaction]:
        """Return what fired; at most the first 20 firings of each rule.

        Never raises: a rule that raises is switched off, and a Note says so.
        """
        reactions = []
        kind = type(record)
        if isinstance(record, Start):
            for rule in self.rules:
                rule.about = record.facts
        if kind not in self._readers:
            working = [rule for rule in self.rules if not rule.broken]
            self._readers[kind] = [rule for rule in working if issubclass(kind, rule.sees)]
        for rule in self._readers[kind]:
            try:
                for fired in rule.feed(record):
                    if rule.times <= SHOWN:
                        reactions.append(Reaction(fired, rule.parameters.action))
            except Exception as error:
                rule.broken = f"{type(error).__name__}: {error}"
                self._readers = {}
                text = f"rule {type(rule).__name__} is switched off: {rule.broken}"
                note = Note(record.at, text, rank=record.rank, host=record.host)
                reactions.append(Reaction(note, "log"))
        return reactions

    def results(self) -> list[Result]:
        """Return the results of the rules so far."""
        return [rule.result() for rule in self.rules]

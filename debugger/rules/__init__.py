"""Rules: each is a small class that finds one problem in the records of a training job."""

from collections.abc import Iterable, Sequence

from debugger.records import Record
from debugger.rules.live import Live
from debugger.rules.rule import Result, Rule, RuleParameters
from debugger.rules.settings import RuleSettingsError, make

__all__ = ["Result", "Rule", "RuleParameters", "RuleSettingsError", "evaluate", "make"]


def evaluate(records: Iterable[Record], rules: Sequence[Rule]) -> list[Result]:
    """Feed all records of a job to the rules and return the result of each rule."""
    live = Live(rules)
    for record in records:
        live.feed(record)
    return live.results()

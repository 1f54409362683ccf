"""Rules: what is wrong in a training job, one small pure class each, as folds over its records."""

from collections.abc import Iterable, Sequence

from debugger.records import Record
from debugger.rules.live import Live
from debugger.rules.rule import Result, Rule, RuleParameters
from debugger.rules.settings import RuleSettingsError, make

__all__ = ["Result", "Rule", "RuleParameters", "RuleSettingsError", "evaluate", "make"]


def evaluate(records: Iterable[Record], rules: Sequence[Rule]) -> list[Result]:
    """Show all of a job's records to rules and return what each found."""
    live = Live(rules)
    for record in records:
        live.feed(record)
    return live.results()

"""The section about rules: those that fired, those that did not, and those without data."""

import json
from typing import Any

from debugger.report import facts
from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.tables import Column, folded, table
from debugger.report.wording import clock, count, counted, number, times

_SHOWN = 5


def rules(report: facts.Report) -> Html:
    """Return all rules; those that fired most often first."""
    if not report.rules:
        return tag("p", "No rules were run.")
    fired = [item for item in report.rules if item.status == "fired"]
    without = [item for item in report.rules if item.status == "no data"]
    quiet = [item for item in report.rules if item.status == "quiet"]
    reporting = [item for item in quiet if item.rule in facts.REPORTING]
    quiet = [item for item in quiet if item.rule not in facts.REPORTING]
    total = {
        "fired": len(fired),
        "did not fire": len(quiet),
        "had no data": len(without),
        "only report": len(reporting),
    }
    parts = [tag("p", counted(total), class_="quiet"), _overview(report.rules)]
    parts += [_card(item, report.job.started) for item in fired]
    if quiet:
        rows = [
            [item.rule, item.description, f"{item.datapoints:,}", _parameters(item)]
            for item in quiet
        ]
        columns = [Column("rule"), Column("problem")]
        columns += [Column("datapoints", figure=True), Column("parameters")]
        parts.append(
            folded(
                f"{count(len(quiet), 'rule')} did not fire",
                table("Rules that did not fire", columns, rows, stacked=True),
            )
        )
    if without:
        rows = [
            [item.rule, item.description, str(item.details.get("needs", ""))] for item in without
        ]
        columns = [Column("rule"), Column("problem"), Column("what it needs")]
        parts.append(
            folded(
                f"{count(len(without), 'rule')} had no data",
                table("Rules without data", columns, rows, stacked=True),
            )
        )
    if reporting:
        names = ", ".join(item.rule for item in reporting)
        parts.append(tag("p", f"Only report: {names}. Their figures are in report.json.",
                         class_="quiet"))  # fmt: skip
    return join(*parts)


def _overview(found: list[facts.Rule]) -> Html:
    rows = [
        [
            tag("a", item.rule, href=f"#rule-{item.rule}"),
            item.kind,
            f"{item.times:,}",
            f"{item.datapoints:,}",
            item.first[0].text if item.first else "",
        ]
        for item in found
        if item.status == "fired"
    ]
    if not rows:
        return tag("p", "No rule fired.")
    columns = [Column("rule"), Column("kind", minor=True), Column("fired", figure=True),
               Column("datapoints", figure=True), Column("first finding")]  # fmt: skip
    return table("Rules that fired, most often first", columns, rows, stacked=True)


def _card(rule: facts.Rule, started: float) -> Html:
    evidence = [
        tag(
            "li",
            tag("b", _when(item, started)),
            item.text,
            tag("span", f" ({item.process})", class_="quiet"),
        )
        for item in rule.first
    ]
    more = evidence[_SHOWN:]
    unlisted = rule.times - len(rule.first)
    if unlisted > 0:
        more.append(tag("li", f"… and {times(unlisted)} more", class_="quiet"))
    return tag(
        "article",
        tag(
            "h3",
            rule.rule,
            tag("span", f"fired {times(rule.times)}", class_="badge warn"),
            tag("span", count(rule.datapoints, "datapoint"), class_="quiet"),
        ),
        tag("p", rule.description),
        tag("ul", *evidence[:_SHOWN], class_="evidence"),
        folded(f"{rule.times - _SHOWN:,} more", tag("ul", *more, class_="evidence"))
        if more
        else None,
        tag("p", tag("b", "What to do: "), rule.advice, class_="todo"),
        tag("p", tag("b", "Parameters: "), _parameters(rule) or "none", class_="quiet"),
        folded("Details", _details(rule.details)) if rule.details else None,
        class_="card",
        id=f"rule-{rule.rule}",
    )


def _when(firing: facts.Firing, started: float) -> str:
    """Return time and step of a firing; samples of a host belong to no step."""
    step = f", step {firing.step:,}" if firing.step >= 0 else ""
    return f"{clock(firing.at - started)}{step}: "


def _parameters(rule: facts.Rule) -> str:
    return ", ".join(f"{name} {_value(item)}" for name, item in rule.parameters.items())


def _details(details: dict[str, Any]) -> Html:
    pairs = [
        tag("div", tag("dt", name.replace("_", " ")), tag("dd", _detail(value)))
        for name, value in details.items()
    ]
    return tag("dl", *pairs)


def _detail(value: Any) -> str:
    """Return a value, or a small table for a mapping or a list of mappings."""
    if (
        isinstance(value, dict)
        and value
        and all(isinstance(v, int | float | str) for v in value.values())
    ):
        return table("", [Column("name"), Column("value", figure=True)],
                     [[str(name), _value(item)] for name, item in value.items()])  # fmt: skip
    if isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
        names = list(value[0])
        columns = [Column(names[0]), *(Column(name, figure=True) for name in names[1:])]
        rows = [[_value(item.get(name)) for name in names] for item in value[:40]]
        return table("", columns, rows)
    return _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return number(float(value), 4)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)

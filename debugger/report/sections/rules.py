"""The rules: what fired first, then what had no data, then what was quiet."""

import json
from typing import Any

from debugger.report import facts
from debugger.report.markup import Html, join, tag
from debugger.report.tables import Column, folded, table
from debugger.report.wording import clock, number, times

_SHOWN = 5


def rules(report: facts.Report) -> Html:
    """Return all rules, the most triggered first."""
    if not report.rules:
        return tag("p", "No rule was run.")
    fired = [one for one in report.rules if one.status == "fired"]
    without = [one for one in report.rules if one.status == "no data"]
    parts = [_overview(report.rules)]
    parts += [_card(one, report.job.started) for one in fired]
    quiet = [one for one in report.rules if one.status == "quiet"]
    if quiet:
        rows = [
            [one.rule, one.description, f"{one.datapoints:,}", _parameters(one)] for one in quiet
        ]
        columns = [Column("rule"), Column("what it looks for"), Column("datapoints", figure=True),
                   Column("parameters")]  # fmt: skip
        parts.append(
            folded(
                f"{len(quiet)} rules that did not fire", table("Quiet", columns, rows, stacked=True)
            )
        )
    if without:
        rows = [[one.rule, one.description, str(one.details.get("needs", ""))] for one in without]
        columns = [Column("rule"), Column("what it looks for"), Column("to switch on")]
        parts.append(
            folded(
                f"{len(without)} rules that had no data",
                table("No data", columns, rows, stacked=True),
            )
        )
    return join(*parts)


def _overview(found: list[facts.Rule]) -> Html:
    rows = [
        [
            tag("a", one.rule, href=f"#rule-{one.rule}"),
            one.kind,
            f"{one.times:,}",
            f"{one.datapoints:,}",
            one.first[0].text if one.first else "",
        ]
        for one in found
        if one.status == "fired"
    ]
    if not rows:
        return tag("p", "None fired.")
    columns = [Column("rule"), Column("kind", minor=True), Column("triggered", figure=True),
               Column("datapoints", figure=True), Column("first")]  # fmt: skip
    return table("Triggered, most often first", columns, rows, stacked=True)


def _card(rule: facts.Rule, started: float) -> Html:
    evidence = [
        tag(
            "li",
            tag("b", f"{clock(one.at - started)}, step {one.step:,}: "),
            one.text,
            tag("span", f" ({one.process})", class_="quiet"),
        )
        for one in rule.first
    ]
    more = rule.times - len(rule.first)
    rest = evidence[_SHOWN:]
    if more > 0:
        rest.append(tag("li", f"… and {times(more)} more", class_="quiet"))
    return tag(
        "article",
        tag(
            "h3",
            rule.rule,
            tag("span", f"triggered {times(rule.times)}", class_="badge warn"),
            tag("span", f"{rule.datapoints:,} datapoints", class_="quiet"),
        ),
        tag("p", rule.description),
        tag("ul", *evidence[:_SHOWN], class_="evidence"),
        folded(f"{len(rest)} more", tag("ul", *rest, class_="evidence")) if rest else None,
        tag("p", tag("b", "What to do: "), rule.advice, class_="todo"),
        tag("p", tag("b", "Parameters: "), _parameters(rule) or "none", class_="quiet"),
        folded("Details", _details(rule.details)) if rule.details else None,
        class_="card",
        id=f"rule-{rule.rule}",
    )


def _parameters(rule: facts.Rule) -> str:
    return ", ".join(f"{name} {_value(one)}" for name, one in rule.parameters.items())


def _details(details: dict[str, Any]) -> Html:
    pairs = [
        tag("div", tag("dt", name.replace("_", " ")), tag("dd", _detail(value)))
        for name, value in details.items()
    ]
    return tag("dl", *pairs)


def _detail(value: Any) -> str:
    """Return a figure, or a small table for a list of like mappings."""
    if (
        isinstance(value, dict)
        and value
        and all(isinstance(v, int | float | str) for v in value.values())
    ):
        return table("", [Column("name"), Column("value", figure=True)],
                     [[str(name), _value(one)] for name, one in value.items()])  # fmt: skip
    if isinstance(value, list | tuple) and value and all(isinstance(one, dict) for one in value):
        names = list(value[0])
        columns = [Column(names[0]), *(Column(name, figure=True) for name in names[1:])]
        rows = [[_value(one.get(name)) for name in names] for one in value[:40]]
        return table("", columns, rows)
    return _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return number(float(value), 4)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)

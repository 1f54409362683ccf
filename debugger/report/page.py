"""The page: one HTML file that contains its style, its script and its pictures."""

import base64
import hashlib
from pathlib import Path

from debugger.report import facts
from debugger.report.analysis.gathering import Gathered
from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.series import COLUMNS
from debugger.report.sections import (
    comparison,
    confusion,
    machines,
    model,
    overview,
    rules,
    training,
    trials,
)
from debugger.report.wording import dollars, moment, number

_STYLE = Path(__file__).with_name("page.css")
_SCRIPT = Path(__file__).with_name("page.js")


def page(report: facts.Report, gathered: Gathered) -> Html:
    """Return the whole page."""
    sections = (
        *_occasional(report),
        ("advice", "Advice", "What costs time, most expensive first.", overview.advice(report)),
        ("time", "Where the time went", "", overview.time(report)),
        ("rules", "Rules", "", rules.rules(report)),
        ("curves", "Losses and metrics", "", training.curves(report, gathered)),
        ("timeline", "Timeline", "All charts have the same axis: time since the start of the job.",
         training.timeline(report, gathered)),
        ("steps", "Steps", "", training.steps(report)),
        ("layers", "Layers", "", model.layers(report, gathered)),
        ("confusion", "Mistakes", "", confusion.confusion(report, gathered)),
        ("system", "Machines", "", machines.usage(report)),
        ("operators", "Operators", "Measured by torch.profiler in its window of steps.",
         machines.operators(report)),
        ("job", "The job", "", overview.about(report.job)),
    )  # fmt: skip
    contents = tag(
        "nav",
        *(tag("a", title, href=f"#{name}") for name, title, _, _ in sections),
        aria_label="Sections",
    )
    body = [
        tag(
            "section",
            tag("h2", title),
            tag("p", subtitle, class_="quiet") if subtitle else None,
            inside,
            id=name,
        )
        for name, title, subtitle, inside in sections
    ]
    title = report.job.name or "Training job"
    main = tag("main", *body)
    return _whole(title, overview.verdict(report), contents, main, _foot(report))


def _whole(title: str, *inside: Html) -> Html:
    script = tag("script", Html(_SCRIPT.read_text()))
    body = tag("body", *inside, script)
    return join(Html("<!doctype html>\n"), tag("html", _head(title), body, lang="en"))


def tuning_page(report: facts.Tuning) -> Html:
    """Return the page of a tuning job."""
    done = sum(item.value is not None for item in report.trials.trials)
    tiles = [(f"{done} of {len(report.trials.trials)}", "trials with a result")]
    best = next((i for i in report.trials.trials if i.name == report.trials.best), None)
    if best and best.value is not None:
        tiles.append((number(best.value, 4), f"best {report.trials.objective}"))
    if report.cost is not None:
        tiles.append((dollars(report.cost), "estimated cost of all trials"))
    header = tag(
        "header",
        tag("p", "Kennel · tuning report", class_="brand"),
        tag("h1", report.name, " ", tag("span", report.status, class_="badge")),
        tag("p", report.headline, class_="verdict"),
        tag("div", *(overview.tile(*item) for item in tiles), class_="tiles"),
    )
    section = tag("section", tag("h2", "Trials"), trials.trials(report.trials), id="trials")
    foot = tag("p", f"Prices: {report.source}. This page works offline.")
    return _whole(report.name, header, tag("main", section), tag("footer", foot))


def _occasional(report: facts.Report) -> list[tuple[str, str, str, Html]]:
    """Return the sections that only some jobs have."""
    found = []
    if report.against:
        title = f"Compared with {report.against.against}"
        found.append(("against", title, "", comparison.comparison(report.against)))
    if report.trials:
        found.append(("trials", "Trials", "", trials.trials(report.trials)))
    return found


def _head(title: str) -> Html:
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.read_bytes()).digest()).decode()
    # Only this script may run, whatever the names of classes and jobs contain. Nothing is fetched.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content=f"{policy}; script-src 'sha256-{digest}'",
        ),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · Kennel report"),
        # Without an icon the browser would request one.
        Html('<link rel="icon" href="data:,">'),
        tag("style", Html(_STYLE.read_text())),
    )


def _foot(report: facts.Report) -> Html:
    return tag(
        "footer",
        tag(
            "p",
            f"Charts have at most {COLUMNS} columns. If there are more points, each column "
            "shows a band from the minimum to the maximum of its points, and a line through the "
            "medians, so no peak is lost. Tables and numbers use all points.",
        ),
        tag("p", f"Prices: {report.cost.source}.") if report.cost else None,
        tag(
            "p",
            f"Times are UTC. The last record is from {moment(report.job.last_sign)}. The same "
            f"facts are in report.json (version {report.version}). This page works offline.",
        ),
    )

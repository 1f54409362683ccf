"""The page: one HTML file with its style, its script and its pictures inside."""

import base64
import hashlib
from pathlib import Path

from debugger.report import charts, facts
from debugger.report.gathering import Gathered
from debugger.report.markup import Html, join, tag
from debugger.report.sections import machines, model, overview, rules, training
from debugger.report.wording import moment

_STYLE = Path(__file__).with_name("page.css")
_SCRIPT = Path(__file__).with_name("page.js")


def page(report: facts.Report, gathered: Gathered) -> Html:
    """Return the whole page."""
    sections = (
        ("advice", "Advice", "What costs time, dearest first.", overview.advice(report)),
        ("time", "Where the time went", "", overview.time(report)),
        ("rules", "Rules", "", rules.rules(report)),
        ("curves", "Loss and metrics", "", training.curves(report, gathered)),
        ("timeline", "Timeline", "All on one axis: time since the job's start.",
         training.timeline(report, gathered)),
        ("steps", "Steps", "", training.steps(report)),
        ("layers", "Layers", "", model.layers(report, gathered)),
        ("confusion", "Confusion", "", model.confusion(report, gathered)),
        ("system", "Machines", "", machines.usage(report)),
        ("operators", "Operators", "What torch.profiler saw in its window.",
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
            tag("p", said, class_="quiet") if said else None,
            inside,
            id=name,
        )
        for name, title, said, inside in sections
    ]
    return join(
        Html("<!doctype html>\n"),
        tag(
            "html",
            _head(report),
            tag(
                "body",
                overview.verdict(report),
                contents,
                tag("main", *body),
                _foot(report),
                tag("script", Html(_SCRIPT.read_text())),
            ),
            lang="en",
        ),
    )


def _head(report: facts.Report) -> Html:
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.read_bytes()).digest()).decode()
    # Whatever a class or a job is called, nothing but our own script runs and nothing is fetched.
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
        tag("title", f"{report.job.name or 'Training job'} · Kennel report"),
        # A page without an icon has the browser ask for one.
        Html('<link rel="icon" href="data:,">'),
        tag("style", Html(_STYLE.read_text())),
    )


def _foot(report: facts.Report) -> Html:
    return tag(
        "footer",
        tag(
            "p",
            f"Charts have at most {charts.COLUMNS} columns. Where there are more points, a column "
            "shows them all as a band from the least to the greatest, with a line through the "
            "medians; nothing is averaged away. Tables and figures are of every point.",
        ),
        tag(
            "p",
            f"Times are UTC; the recording ends at {moment(report.job.last_sign)}. The same facts "
            f"are in report.json (version {report.version}). This file fetches nothing.",
        ),
    )

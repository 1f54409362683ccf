"""The same job again with changes: its experiment as TOML to edit and check, and the command."""

import tomllib
from typing import Any

from nicegui import ui

from scripts import spec
from scripts.aws import prices, recreated
from scripts.ui import context, frame

_LONGEST = 100_000


def section(about: dict[str, Any]) -> None:
    """Draw the experiment of a training job, from DescribeTrainingJob."""
    content, remarks = recreated.experiment(about, None, context.current().aws.region)
    file = f"{content['name'] or 'experiment'}.toml"
    frame.heading("Again with changes")
    ui.label("Change the experiment, check it, save it, and run the command.").classes("quiet")
    for remark in remarks:
        ui.label(remark)
    text = ui.textarea("Experiment", value=recreated.to_toml(content))
    text.props("outlined input-class=mono rows=18").style("width: 100%")
    with ui.element("div").classes("bar"):
        ui.button("Check", on_click=lambda: show(check(text.value or ""))).props("no-caps outline")
        ui.button("Save", on_click=lambda: ui.download.content(text.value or "", file)).props(
            f'no-caps outline aria-label="Save {file}"'
        )
    answer = ui.label().props('role="status"').classes("answer")
    frame.copyable(f"kennel train {file}")

    def show(found: tuple[bool, str]) -> None:
        answer.text = found[1]
        answer.classes(replace="answer good" if found[0] else "answer bad")


def check(text: str) -> tuple[bool, str]:
    """Return whether a TOML text is an experiment, and its price or its problems."""
    if len(text) > _LONGEST:
        return False, f"an experiment has at most {_LONGEST:,} characters"
    try:
        experiment = spec.check(tomllib.loads(text), "the experiment")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return False, f"not TOML: {error}"
    except spec.SpecError as error:
        return False, str(error)
    return True, f"valid. {prices.before_training(experiment, 1)}"

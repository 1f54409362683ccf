"""`make docs`: the pages of docs/reference/, and docs/hyperparameters.md, written from the code.

Nobody edits these pages. A test compares them with what this module writes.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from debugger.rules import Rule
from debugger.rules.settings import BUILT_IN
from scripts import cli
from scripts.make import markdown
from scripts.spec.endpoint import Endpoint
from scripts.spec.experiment import Experiment
from scripts.spec.section import Section
from scripts.verbs.jobs import hyperparameters
from serve.settings import Settings

_NOTE = "This page is written by `make docs` from {source}. Do not edit it."
_KINDS: tuple[type[Section], ...] = get_args(get_args(Endpoint)[0])
# Tables of an experiment that have pages of their own.
_ELSEWHERE = {"hyperparameters": "([all of them](../hyperparameters.md))"}


def pages() -> dict[str, str]:
    """Return the text of each page, by its path below docs/."""
    written: dict[str, Callable[[], str]] = {
        "hyperparameters.md": hyperparameters.page,
        "reference/verbs.md": verbs,
        "reference/experiment.md": experiment,
        "reference/rules.md": rules,
        "reference/settings.md": settings,
    }
    return {path: page() for path, page in written.items()}


def main() -> None:
    """Write the pages; files that are right are not touched."""
    docs = Path(__file__).parents[2] / "docs"
    for path, text in pages().items():
        file = docs / path
        file.parent.mkdir(exist_ok=True)
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"wrote docs/{path}")


def verbs() -> str:
    """Every verb with its arguments and options, in the order of a job."""
    root: Any = typer.main.get_command(cli.app)
    listed = {name for names in cli.GROUPS.values() for name in names}
    others = tuple(name for name in root.commands if name not in listed)
    groups = {title: [n for n in names if n in root.commands] for title, names in _titled(others)}
    parts = [
        "# Verbs",
        _NOTE.format(source="the command's own help"),
        "`kennel VERB --help` prints the same. [The command](../kennel.md) explains what they do.",
        *_options(root, "kennel", "| option of `kennel` itself | meaning |"),
    ]
    for title, names in groups.items():
        if names:
            parts.append(f"## {title}")
        for name in names:
            parts += _verb(root.commands[name], f"kennel {name}")
    return markdown.page(parts)


def _titled(others: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield from cli.GROUPS.items()
    yield "Other", others


def _verb(verb: Any, name: str) -> Iterator[str]:
    """The section of a verb, or the sections of a group of verbs."""
    if inside := getattr(verb, "commands", None):
        for inner, one in inside.items():
            yield from _verb(one, f"{name} {inner}")
        return
    context = typer.Context(verb, info_name=name)
    usage = " ".join([name, *verb.collect_usage_pieces(context)])
    yield f"### `{name}`"
    yield inspect.cleandoc(verb.help or "")
    yield f"```text\n{usage}\n```"
    yield from _options(verb, name, "| argument or option | meaning |")


def _options(verb: Any, name: str, head: str) -> Iterator[str]:
    context = typer.Context(verb, info_name=name)
    records = [one.get_help_record(context) for one in verb.get_params(context)]
    rows = [(f"`{r[0]}`", markdown.escaped(r[1])) for r in records if r and "--help" not in r[0]]
    if rows:
        yield markdown.table(head, rows)


def experiment() -> str:
    """Every key of an experiment's TOML file."""
    _, schema = models_json_schema(
        [(Experiment, "validation"), *((one, "validation") for one in _KINDS)]
    )
    models: dict[str, Any] = schema["$defs"]
    parts = [
        "# Keys of an experiment",
        _NOTE.format(source="the models in `scripts/spec/`"),
        "Unknown keys are errors, and the message suggests the nearest key. All problems are "
        "reported at once. [The command](../kennel.md#the-experiment) shows a whole file.",
        _keys(models["Experiment"], without=("endpoint",)),
    ]
    for key, model in _tables(models["Experiment"], models):
        parts += [f"## `[{key}]`", _sentence(model), _keys(model)]
        for inner, table in _tables(model, models):
            parts += [f"### `{key}.{inner}`", _sentence(table), _keys(table)]
    parts += ["## `[endpoint]`", "The kind decides which other keys are allowed."]
    parts.append(
        markdown.table("| kind | |", [(f"`{_kind(one)}`", inspect.getdoc(one)) for one in _KINDS])
    )
    parts += _endpoint_keys({_kind(one): models[one.__name__] for one in _KINDS})
    for inner, table in _tables(models["RealTime"], models):
        parts += [f"### `endpoint.{inner}`", _sentence(table), _keys(table)]
    return markdown.page(parts)


def _tables(model: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of a section that are tables, with the sections in them."""
    for key, schema in model["properties"].items():
        found = re.findall(r"#/\$defs/(\w+)", str(schema)) if key != "endpoint" else ()
        for name in found:
            yield (f"{key}.NAME" if schema.get("type") == "object" else key), models[name]


def _keys(model: Mapping[str, Any], without: tuple[str, ...] = ()) -> str:
    rows = [
        (
            f"`{key}`",
            _meaning(key, schema),
            markdown.values(schema),
            markdown.default(key, schema, model),
        )
        for key, schema in model["properties"].items()
        if key not in without
    ]
    return markdown.table("| key | meaning | values | default |", rows)


def _endpoint_keys(kinds: Mapping[str, Any]) -> Iterator[str]:
    """One table for all kinds: keys that mean the same share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for kind, model in kinds.items():
        for key, schema in model["properties"].items():
            if key != "kind":
                about = (
                    _meaning(key, schema),
                    markdown.values(schema),
                    markdown.default(key, schema, model),
                )
                rows.setdefault((f"`{key}`", *about), []).append(kind)
    cells = [
        (key, "all" if len(named) == len(kinds) else ", ".join(named), *about)
        for (key, *about), named in sorted(rows.items(), key=lambda row: len(row[1]), reverse=True)
    ]
    yield markdown.table("| key | kinds | meaning | values | default |", cells)


def rules() -> str:
    """Every rule with its parameters."""
    parts = [
        "# Rules",
        _NOTE.format(source="the rules in `debugger/rules/`"),
        "[Rules](../debugger.md#rules) explains how they are set, and how to write one. Every rule "
        "has the parameter `action`: `report`, `log` or `stop`.",
    ]
    for title, kind in (("Tensors and metrics", "tensor"), ("Time and machines", "profiler")):
        parts.append(f"## {title}")
        for rule in (one for one in BUILT_IN if one.kind == kind):
            parts += _rule(rule)
    return markdown.page(parts)


def _rule(rule: type[Rule]) -> Iterator[str]:
    yield f"### {rule.__name__}"
    yield markdown.escaped(inspect.getdoc(rule) or "")
    fields = rule.Parameters.model_fields.items()
    if rows := [(f"`{name}`", f"`{one.default}`") for name, one in fields if name != "action"]:
        yield markdown.table("| parameter | default |", rows)
    yield "\n".join(
        f"- {title}: {markdown.escaped(text)}"
        for title, text in (
            ("Finding", rule.description),
            ("What to do", rule.advice),
            ("Needs", rule.needs),
            ("Source", rule.source),
        )
    )


def settings() -> str:
    """Every environment variable of the server."""
    schema = Settings.model_json_schema(by_alias=True)
    rows = [
        (f"`{key}`", _meaning(key, one), markdown.values(one), markdown.default(key, one, {}))
        for key, one in schema["properties"].items()
    ]
    return markdown.page(
        [
            "# Settings of the server",
            _NOTE.format(source="`serve/settings.py`"),
            "They are environment variables of the serving container; `endpoint.environment` sets "
            "them. An empty variable counts as unset. An invalid one ends the server at its start, "
            "with one line for each; so does a name that is nearly one of these. Settings of other "
            "servers (`SAGEMAKER_TS_BATCH_SIZE`, `MMS_JOB_QUEUE_SIZE`) are passed over, and the "
            "log says what to set instead.",
            markdown.table("| variable | meaning | values | default |", rows),
        ]
    )


def _kind(section: type[BaseModel]) -> str:
    return str(section.model_fields["kind"].default)


def _sentence(model: Mapping[str, Any]) -> str:
    return str(model.get("description", ""))


def _meaning(key: str, schema: Mapping[str, Any]) -> str:
    return markdown.escaped(f"{schema.get('description', '')} {_ELSEWHERE.get(key, '')}".strip())


if __name__ == "__main__":
    main()

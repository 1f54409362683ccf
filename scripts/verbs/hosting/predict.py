"""`kennel predict`: classify pictures with an endpoint."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from pictures.text import cell
from scripts.aws.client import Aws
from scripts.console import drawing, progress, terminal
from scripts.photos import invoking, listing
from scripts.photos.invoking import Answer
from scripts.problem import Problem
from scripts.requests import endpoints as requests
from scripts.verbs import options


class _Format(StrEnum):
    """The formats of --out, by the file's end."""

    CSV = ".csv"
    JSON_LINES = ".jsonl"


def predict(
    endpoint: Annotated[str, typer.Argument(help="the endpoint's name")],
    photos: Annotated[list[Path], typer.Argument(help="pictures, and folders of pictures")],
    top: Annotated[int, typer.Option(min=1, help="how many classes to print")] = 3,
    model: Annotated[
        str | None, typer.Option(help="for a multi-model endpoint: the archive's name")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv|FILE.jsonl", help="write all scores of all pictures"),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="draw each photo with its scores")] = False,
    as_json: options.AsJson = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Classify pictures with an endpoint.

    Prints the most likely classes of each picture. Exits with 1 if a picture has no answer.
    """
    output = _Output.at(out) if out else None
    found = listing.pictures(photos) if not dry_run else photos
    if dry_run:
        terminal.dry_run(
            requests.invoke(
                endpoint, str(photo), listing.content_type(photo), invoking.ACCEPT, model
            )
            for photo in found
        )
        terminal.note("for an asynchronous endpoint: PutObject and InvokeEndpointAsync instead")
        return
    answers: list[Answer] = []
    try:
        with progress.bar("predicting", "files", len(found)) as advance:
            for answer in invoking.invoke(Aws(region), endpoint, found, model):
                answers.append(answer)
                advance(1)
    finally:  # also what was answered before an error or Ctrl-C
        if output and answers:
            output.write(answers)
            of = "" if len(answers) == len(found) else f" of {len(found)}"
            terminal.note(f"{out}: {len(answers)}{of} pictures")
    if as_json:
        terminal.as_json({str(one.photo): one.body or {"error": one.error} for one in answers})
    elif show:
        for one in answers:
            if one.body:
                drawing.photo_with_scores(one.photo, _ranked(one.body)[:top])
    else:
        _print_table(answers, top)
    _report(answers)
    if any(one.body is None for one in answers):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Output:
    """The file of --out."""

    path: Path
    format: _Format

    @classmethod
    def at(cls, path: Path) -> "_Output":
        """Check that the file can be written, before answers are paid for.

        Raises:
            Problem: it cannot, or its name has another end.
        """
        try:
            found = cls(path, _Format(path.suffix.lower()))
        except ValueError:
            raise Problem(f"--out {path}: the name must end in .csv or .jsonl") from None
        existed = path.exists()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()
        except OSError as error:
            raise Problem(f"--out {path}: {error.strerror}: give another file") from None
        if not existed:
            path.unlink()
        return found

    def write(self, answers: Sequence[Answer]) -> None:
        """Write the answers; an earlier file is replaced."""
        with self.path.open("w", encoding="utf-8", newline="") as file:
            _write(file, self.format, answers)


def _ranked(body: dict[str, Any]) -> list[tuple[str, float]]:
    """Labels with their probabilities, the most likely first."""
    pairs = zip(body["labels"], body["probabilities"], strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def _print_table(answers: Sequence[Answer], top: int) -> None:
    rows = [
        [
            terminal.shortened(str(one.photo)),
            *(f"{label} {probability:.3f}" for label, probability in _ranked(one.body)[:top]),
        ]
        for one in answers
        if one.body
    ]
    if rows:
        ranks = [f"class {rank}" for rank in range(1, max(map(len, rows)))]
        padded = [row + [""] * (len(ranks) + 1 - len(row)) for row in rows]
        terminal.table(["picture", *ranks], padded, if_empty="")


def _report(answers: Sequence[Answer]) -> None:
    """Print what was shrunk and what failed; the accuracy, if the folders are named as classes."""
    shrunk = [one for one in answers if one.shrunk_from]
    for one in shrunk[:5]:
        size = f"{one.shrunk_from or 0:,} bytes"
        terminal.note(f"{one.photo}: {size} are more than a request can have: sent a smaller copy")
    if len(shrunk) > 5:
        terminal.note(f"… and {len(shrunk) - 5} more")
    for one in answers:
        if one.body is None:
            terminal.note(f"{one.photo}: {one.error}")
    answered = [(one.photo.parent.name, one.body) for one in answers if one.body]
    if len(answered) > 1 and all(name in body["labels"] for name, body in answered):
        right = sum(name == body["predicted_label"] for name, body in answered)
        terminal.note(f"{right} of {len(answered)} correct, by the names of their folders")
    if len(answered) < len(answers):
        terminal.note(f"{len(answers) - len(answered)} of {len(answers)} pictures have no answer")


def _write(file: TextIO, format_of_out: _Format, answers: Sequence[Answer]) -> None:
    """Write one line for each picture: the probabilities of all classes, or the error."""
    if format_of_out is _Format.JSON_LINES:
        for one in answers:
            line = {"picture": str(one.photo), **(one.body or {"error": one.error})}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return
    labels = list(
        dict.fromkeys(label for one in answers if one.body for label in one.body["labels"])
    )
    rows = csv.writer(file)
    rows.writerow(["picture", "predicted_label", "error", *map(cell, labels)])
    for one in answers:
        body = one.body or {}
        scores = dict(zip(body.get("labels", ()), body.get("probabilities", ()), strict=True))
        predicted = cell(str(body.get("predicted_label", "")))
        listed = (scores.get(label, "") for label in labels)
        rows.writerow([cell(str(one.photo)), predicted, cell(one.error), *listed])

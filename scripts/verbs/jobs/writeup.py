"""`kennel writeup`: a folder with writeup.md and pictures about jobs, and how to repeat them."""

import dataclasses
import re
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.aws import prices, recreated
from scripts.aws.client import Aws
from scripts.console import progress, terminal
from scripts.photos import invoking, listing
from scripts.problem import Problem
from scripts.requests import endpoints, jobs
from scripts.requests.request import Request
from scripts.requests.secrets import MASK, masked
from scripts.verbs import options

if TYPE_CHECKING:
    from scripts.writeup.story import Recipe, Story


def writeup(
    what: Annotated[
        list[str],
        typer.Argument(metavar="JOB|DIR|s3://…", help="jobs, or folders with a job's output"),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="the folder; default: JOB-writeup")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="the endpoint that answers --photo")] = None,
    photo: Annotated[
        list[Path] | None, typer.Option(help="a picture, or a folder of pictures; repeat it")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--spec", help="the experiment's TOML file, to print it")
    ] = None,
    instance: Annotated[
        str | None, typer.Option(help="for folders: the instance type, for the cost")
    ] = None,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Write jobs down as Markdown with pictures.

    It has a table of jobs, curves, tuning, findings, predictions, the cost, and how to repeat it.
    """
    if bool(endpoint) != bool(photo):
        raise Problem("give --endpoint and --photo together: the endpoint answers for the photos")
    local = _are_local(what)
    if instance:
        _check_instance(instance, local=local)
    if dry_run:
        terminal.dry_run(_requests([] if local else what, endpoint))
        return
    _need_matplotlib()
    from scripts.writeup import page

    text, remarks = _spec(file)
    target = out or Path(f"{_name(what[0])}-writeup")
    page.check(target)
    photos = listing.pictures(photo or [])
    with tempfile.TemporaryDirectory() as temporary:
        pages = Path(temporary) / "pages"
        pages.mkdir()
        story = _story(what, Path(temporary), pages, instance, region, local=local)
        if endpoint:
            story = _with_predictions(story, Aws(region), endpoint, photos)
        page.prepare(target, pages)
    recipe = story.recipe
    if text:
        recipe = dataclasses.replace(recipe, toml=text, remarks=remarks)
    if endpoint:
        recipe = _with_endpoint(recipe, endpoint, from_file=bool(text))
    story = dataclasses.replace(story, recipe=recipe)
    terminal.result(str(page.write(story, target)))


def _story(
    what: Sequence[str],
    work: Path,
    pages: Path,
    instance: str | None,
    region: str | None,
    *,
    local: bool,
) -> "Story":
    from scripts.writeup import folders
    from scripts.writeup import jobs as described

    with progress.bar("reading", "files", len(what)) as advance:
        if local:
            return folders.find(what, work, pages, advance, instance=instance, region=region)
        return described.find(Aws(region), what, work, pages, advance)


def _with_predictions(story: "Story", aws: Aws, endpoint: str, photos: Sequence[Path]) -> "Story":
    from scripts.writeup.story import Prediction

    answers = []
    with progress.bar("predicting", "files", len(photos)) as advance:
        for answer in invoking.invoke(aws, endpoint, photos):
            labels = (answer.body or {}).get("labels", [])
            folder = answer.photo.absolute().parent.name
            answers.append(Prediction(answer, folder if folder in labels else ""))
            advance(1)
    return dataclasses.replace(story, predictions=answers, endpoint=endpoint)


def _with_endpoint(recipe: "Recipe", endpoint: str, *, from_file: bool) -> "Recipe":
    """Return the recipe with the commands that deploy and predict."""
    commands = [
        *recipe.commands,
        ["kennel", "deploy", "experiment.toml", "--job", "JOB"],
        ["kennel", "predict", endpoint, "photo.jpg"],
        ["kennel", "down", endpoint],
    ]
    lacks = "A job does not say how it is served: add [endpoint] before you deploy."
    remarks = recipe.remarks if from_file else [*recipe.remarks, lacks]
    return dataclasses.replace(recipe, commands=commands, remarks=remarks)


def _are_local(what: Sequence[str]) -> bool:
    """Return whether they are folders, archives or S3 addresses, and not jobs.

    Raises:
        Problem: some are, and some are not.
    """
    found = {one: one.startswith("s3://") or Path(one).exists() for one in what}
    if len(set(found.values())) > 1:
        jobs_given = ", ".join(one for one, is_local in found.items() if not is_local)
        raise Problem(f"give jobs or folders, not both: no file or folder is called {jobs_given}")
    return next(iter(found.values()))


def _check_instance(instance: str, *, local: bool) -> None:
    """Refuse what would be ignored: a type without a price, or one for jobs, which have theirs."""
    if not local:
        raise Problem("--instance is for folders: SageMaker knows the instances of its jobs")
    if prices.cost(instance, 1, 1) is None:
        raise Problem(f"--instance {instance}: no known price: `kennel prices` lists the types")


def _requests(names: Sequence[str], endpoint: str | None) -> list[Request]:
    described = [jobs.describe(kind, name) for name in names for kind in jobs.KINDS]
    return [*described, *([endpoints.describe(endpoint)] if endpoint else [])]


def _spec(file: Path | None) -> tuple[str, list[str]]:
    """Return the text of the experiment's file, which must be valid, and remarks about it."""
    if file is None:
        return "", []
    options.experiment(file, None)
    text = file.read_text(encoding="utf-8")
    content = tomllib.loads(text)
    if (shown := masked(content)) == content:
        return text, []
    return recreated.to_toml(shown), [f"Secrets are shown as {MASK}: put them back in."]


def _name(what: str) -> str:
    """Return the name for the folder: letters, digits, dots and hyphens of the first job."""
    last = what.rstrip("/").rpartition("/")[2].removesuffix(".tar.gz")
    return re.sub(r"[^\w.-]+", "-", last).strip(".-") or "job"


def _need_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise Problem(
            "kennel writeup draws with matplotlib: pip install 'sagemaker-kennel[writeup]'"
        ) from None

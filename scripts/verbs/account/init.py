"""`kennel init`: a first experiment file for a folder of photos."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from pictures.text import printable
from scripts import spec
from scripts.aws import target
from scripts.aws.client import Aws, AwsProblem
from scripts.console import progress, terminal
from scripts.problem import Problem
from scripts.spec import starter
from scripts.spec.starter import Home, Photos
from scripts.verbs import options
from train.config import TrainConfig

# What an emulator answers, for --emulator without one. Source: moto.
_EMULATED = Home("aws", "123456789012", "us-east-1", on_aws=False)


def init(
    photos: Annotated[Path, typer.Argument(help="a folder of photos, or a zip or tar of it")],
    out: Annotated[
        Path | None, typer.Option(help="the file to write; default: NAME.toml", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="the experiment's name; default: the folder's")
    ] = None,
    emulator: Annotated[
        bool, typer.Option("--emulator", help="for an emulator on this machine")
    ] = False,
    region: options.Region = None,
) -> None:
    """Write a first experiment file for a folder of photos.

    Looks at the photos and the account, and writes a commented file that runs.
    """
    chosen = name or _name(photos)
    target_file = out or Path(f"{chosen}.toml")
    if target_file.exists():
        raise Problem(f"{target_file} exists: give another file with --out, or remove it")
    found = _look_at(photos)
    home = _EMULATED if emulator else _home(region)
    text = starter.text(chosen, found, home, version("sagemaker-kennel"))
    spec.check(tomllib.loads(text), str(target_file))
    target_file.parent.mkdir(parents=True, exist_ok=True)
    target_file.write_text(text, encoding="utf-8")
    terminal.result(str(target_file))
    bucket = f"{spec.load(target_file, ()).data['photos'].uri}"
    terminal.note(
        f"{found.pictures:,} pictures in {found.classes:,} classes"
        f"{', in an archive: the upload sends what is in it' if found.is_archive else ''}\n"
        f"next:\n"
        f"  kennel setup {target_file}\n"
        f"  kennel data upload {photos} {bucket}\n"
        f"  kennel tune {target_file}"
    )


def _look_at(photos: Path) -> Photos:
    """Read the photos with the code of the job.

    Raises:
        Problem: the job would refuse them.
    """
    from pictures import channels
    from pictures.picture import DataError
    from pictures.tables.listing import READ_FROM
    from scripts.photos import unpacking

    if not photos.exists():
        raise Problem(f"{photos}: no such folder")
    job = TrainConfig()
    try:
        with (
            unpacking.folder_of(photos) as folder,
            progress.working(f"looking at {printable(str(photos))}"),
        ):
            found = channels.find(
                {"photos": folder},
                split_seed=job.split_seed,
                valid_fraction=job.valid_fraction,
                test_fraction=job.test_fraction,
            )
    except DataError as error:
        raise Problem(str(error)) from error
    for note in found.notes:
        terminal.note(note)
    pictures = len(found.train) + len(found.valid) + len(found.test)
    classes, has_splits = len(found.classes), not found.made
    return Photos(
        printable(str(photos)),
        pictures,
        classes,
        len(found.train),
        has_splits,
        tuple(printable(note) for note in found.notes if note.startswith(READ_FROM)),
        is_archive=photos.is_file(),
    )


def _home(region: str | None) -> Home:
    """The account and region of the caller.

    Raises:
        Problem: the credentials are not usable.
    """
    aws = Aws(region)
    try:
        found = target.find(aws)
    except AwsProblem as problem:
        raise Problem(f"{problem}\nor write it for an emulator: --emulator") from None
    partition, account = found.identity["Arn"].split(":")[1], found.identity["Account"]
    return Home(partition, account, aws.region, on_aws=not found.emulator)


def _name(photos: Path) -> str:
    """The folder's name as the name of an experiment: letters, digits and hyphens."""
    plain = re.sub(r"[^a-zA-Z0-9]+", "-", photos.resolve().name.split(".")[0]).strip("-")
    return plain[:32].rstrip("-").lower() or "photos"

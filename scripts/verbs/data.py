"""`kennel data check`, `pack` and `upload`: photos, before they cost anything.

What looks at photos and draws bars is imported by the verb that needs it, so that all the others
start without it (benchmarks/startup.py).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from scripts.aws.client import Aws
from scripts.console import names, shown
from scripts.requests.request import Request
from scripts.verbs import options

if TYPE_CHECKING:
    from rich.progress import Progress

    from pictures.checks import Photo

_SHOWN = 5
Folder = Annotated[Path, typer.Argument(help="holds train/, valid/, test/, or a folder a class")]

app = typer.Typer(no_args_is_help=True, help="Check photos, and bring them to S3.")


@app.command()
def check(folder: Folder) -> None:
    """Count classes and splits; find unreadable files, copies, look-alikes and leaks.

    Ends with 1 where training would fail or its test would be worthless.
    """
    from pictures import checks

    with _progress() as bar:
        task = bar.add_task("looking", total=None)
        found = checks.check(
            folder, lambda done, all_: bar.update(task, completed=done, total=all_)
        )
    counts = found.counts()
    splits = [split for split in checks.SPLITS if any(count[split] for count in counts.values())]
    shown.table(
        ["class", *splits],
        ([label, *(str(count[split]) for split in splits)] for label, count in counts.items()),
        none="no pictures",
    )
    size = sum(photo.size for photo in found.photos)
    shown.tell(f"{len(found.photos)} pictures in {len(counts)} classes, {size / 2**20:,.1f} MiB")
    for photo in found.unreadable:
        shown.tell(f"unreadable: {photo.path.relative_to(folder)}: {photo.unreadable}")
    for problem in found.problems:
        shown.tell(problem)
    _groups("the same picture", found.copies, folder)
    if found.near_checked:
        _groups("alike", found.alike, folder)
    else:
        shown.tell("look-alikes were not searched: pip install 'sagemaker-kennel[data]'")
    for group in found.leaks:
        where = ", ".join(sorted({one.split for one in group}))
        shown.tell(f"leak between {where}: {group[0].path.relative_to(folder)} is in both")
    if found.leaks or found.unreadable or found.problems:
        raise typer.Exit(1)
    shown.tell("good")


@app.command()
def pack(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="a new folder, for the shards")],
    shard_mib: Annotated[int, typer.Option(min=1, help="about how large a shard gets")] = 256,
    seed: Annotated[int, typer.Option(help="of the order of training pictures in shards")] = 0,
) -> None:
    """Pack photos into tar shards: few files, long reads; training takes them as the folder.

    Training pictures are laid in random order, so that those read together are of many classes.
    """
    from scripts.photos import packing

    with _progress(sizes=True) as bar:
        task = bar.add_task("packing", total=None)
        found = packing.pack(
            folder,
            out,
            seed=seed,
            shard_bytes=shard_mib * 2**20,
            progress=lambda size: bar.advance(task, size),
        )
    for name in found.empty:
        shown.say(f"class folder without a picture, left out: {name}")
    shown.tell(
        f"{out}: {found.pictures} pictures, {found.size / 2**20:,.1f} MiB in {found.shards} shards"
    )


@app.command()
def upload(
    folder: Folder,
    address: Annotated[str, typer.Argument(metavar="S3://…", help="where it goes")],
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Bring a folder to S3: in parallel, only what changed; cut off, it goes on where it was."""
    from scripts.photos import upload as uploading

    if dry_run:
        bucket, prefix = names.bucket_and_key(address.rstrip("/") + "/")
        files = uploading.local_files(folder)
        shown.dry(
            Request("s3", "PutObject", {"Bucket": bucket, "Key": prefix + key, "Body": str(path)})
            for key, path in files.items()
        )
        return
    aws = Aws(region)
    todo = uploading.plan(aws, folder, address)
    shown.say(f"{todo.same} files are there already, {len(todo.send)} to send")
    with _progress(sizes=True) as bar:
        task = bar.add_task("uploading", total=todo.size)
        uploading.run(aws, todo, lambda size: bar.advance(task, size))
    shown.tell(f"{address}: {len(todo.digests)} files, checksums in {uploading.MANIFEST}")
    if todo.gone:
        shown.say(f"there and not in {folder}, left alone: {_some(todo.gone)}")


def _progress(*, sizes: bool = False) -> "Progress":
    """A bar where a terminal watches, nothing elsewhere."""
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    done = DownloadColumn() if sizes else MofNCompleteColumn()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        done,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _groups(what: str, groups: "Iterable[tuple[Photo, ...]]", folder: Path) -> None:
    found = list(groups)
    for group in found[:_SHOWN]:
        shown.tell(f"{what}: " + _some([str(one.path.relative_to(folder)) for one in group]))
    if len(found) > _SHOWN:
        shown.tell(f"{what}: {len(found) - _SHOWN} more groups")


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    rest = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + rest

"""`kennel data check`, `pack` and `upload`: photos, before they cost anything.

Pillow and its like are imported by the verb that needs them, so that all others start without them
(benchmarks/startup.py).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.aws.client import Aws
from scripts.console import names, progress, terminal
from scripts.problem import Problem
from scripts.requests import objects
from scripts.verbs import options

if TYPE_CHECKING:
    from pictures.checks import Photo, Report
    from train.config import TrainConfig

_MAX_GROUPS = 5
_MAX_FILES = 20
Folder = Annotated[
    Path,
    typer.Argument(
        help="has train/, valid/ and test/, or one folder per class, or a table of labels; a zip "
        "or tar of it is unpacked"
    ),
]
Table = Annotated[str | None, typer.Option("--table", help="as in the hyperparameters")]
PictureColumn = Annotated[str | None, typer.Option(help="as in the hyperparameters")]
LabelColumn = Annotated[str | None, typer.Option(help="as in the hyperparameters")]
SplitColumn = Annotated[str | None, typer.Option(help="as in the hyperparameters")]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="also take what links out of the folder lead to")
]
Fraction = Annotated[float | None, typer.Option(min=0, max=1, help="as in the hyperparameters")]

app = typer.Typer(no_args_is_help=True, help="Check, pack and upload photos.")


@app.command()
def check(
    folder: Folder,
    spec: Annotated[
        Path | None, typer.Option("--spec", help="check for the hyperparameters of an experiment")
    ] = None,
    valid_fraction: Fraction = None,
    test_fraction: Fraction = None,
    split_seed: Annotated[int | None, typer.Option(min=0, help="as in the hyperparameters")] = None,
    max_unreadable: Fraction = None,
    table: Table = None,
    picture_column: PictureColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save", help="write similar pictures to a file: training keeps them in one split"
        ),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="warnings fail the check too")] = False,
) -> None:
    """Check photos as a training job would: classes, splits, bad files, copies, leaks.

    Exits with 1 if the job would fail.
    """
    from pictures.tables.table import TableOptions
    from scripts.photos import unpacking
    from train.config import TrainConfig

    config = _hyperparameters(spec) if spec else TrainConfig()
    given = {
        "valid_fraction": valid_fraction,
        "test_fraction": test_fraction,
        "split_seed": split_seed,
        "max_unreadable": max_unreadable,
    }
    settings: dict[str, Any] = {
        name: getattr(config, name) if value is None else value for name, value in given.items()
    }
    settings["table"] = TableOptions(
        config.table if table is None else table,
        config.picture_column if picture_column is None else picture_column,
        config.label_column if label_column is None else label_column,
        config.split_column if split_column is None else split_column,
    )
    if save and folder.is_file():
        raise Problem("--save writes into the folder of the photos: unpack the archive first")
    with unpacking.folder_of(folder) as unpacked:
        _check(unpacked, settings, save=save, strict=strict)


def _check(folder: Path, settings: dict[str, Any], *, save: bool, strict: bool) -> None:
    from pictures import checks

    with _data_errors(), progress.bar("checking", "files") as advance:
        found = checks.check(folder, lambda _done, total: advance(1, total), **settings)
    _show_counts(found)
    for photo in found.unreadable[:_MAX_FILES]:
        terminal.result(f"unreadable: {_below(folder, photo.path)}: {photo.unreadable}")
    if len(found.unreadable) > _MAX_FILES:
        terminal.result(f"unreadable: {len(found.unreadable) - _MAX_FILES} more")
    for note in found.splits.notes:
        terminal.result(note)
    for warning in found.warnings:
        terminal.result(f"WARNING: {warning}")
    _show_groups("duplicates", found.copies, folder)
    if found.near_checked:
        _show_groups("near-duplicates", found.alike, folder)
    else:
        terminal.result("near-duplicates not searched: pip install 'sagemaker-kennel[data]'")
    for group in found.leaks[:_MAX_GROUPS]:
        where = " and ".join(sorted({one.split for one in group}))
        terminal.result(f"WARNING: leak: {_below(folder, group[0].path)} is in {where}")
    if len(found.leaks) > _MAX_GROUPS:
        terminal.result(f"WARNING: leak: {len(found.leaks) - _MAX_GROUPS} more groups")
    if save:
        _save(found)
    elif found.leaks and found.splits.made:
        terminal.result("--save writes a file by which training keeps similar pictures together")
    for error in found.errors:
        terminal.result(f"the job would fail: {error}")
    warned = found.leaks or found.warnings or found.unreadable
    if found.errors or (strict and warned):
        raise typer.Exit(1)
    terminal.result("the job would train; see the warnings" if warned else "no problems found")


def _hyperparameters(file: Path) -> "TrainConfig":
    from train.config import from_hyperparameters

    return from_hyperparameters(options.experiment(file, None).hyperparameters)


def _show_counts(found: "Report") -> None:
    """Show the pictures that can be read, by class and split."""
    counts = found.counts()
    splits = [part for part, own in found.splits.parts().items() if own]
    terminal.table(
        ["class", *splits],
        ([label, *(str(count[split]) for split in splits)] for label, count in counts.items()),
        if_empty="no pictures",
    )
    size = sum(photo.size for photo in found.photos)
    terminal.result(
        f"{len(found.photos)} pictures in {len(counts)} classes, {size / 2**20:,.1f} MiB"
    )


def _save(found: "Report") -> None:
    """Write the similar pictures next to the class folders, for the job to read."""
    from pictures import checks

    if not found.splits.made:
        terminal.result("--save: the splits are given as folders, so there is nothing to write")
        return
    path = checks.save_near_copies(found)
    terminal.result(f"{path}: {len(found.alike)} groups of similar pictures; check again to see")


@app.command()
def pack(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="a new folder for the shards")],
    shard_mib: Annotated[int, typer.Option(min=1, help="approximate size of a shard")] = 256,
    seed: Annotated[int, typer.Option(help="shuffles the training pictures")] = 0,
    follow_links: FollowLinks = False,
    table: Table = None,
    picture_column: PictureColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
) -> None:
    """Pack photos into tar shards.

    Training reads shards like the folder, but faster from S3. The training pictures are shuffled,
    so that every read has pictures of many classes.
    """
    from pictures.tables.table import TableOptions
    from scripts.photos import links, packing, unpacking

    columns = (picture_column or "", label_column or "", split_column or "")
    with unpacking.folder_of(folder) as photos:
        if not follow_links and photos.is_dir():
            _warn_of_links(photos, links.leading_out(photos))
        with _data_errors(), progress.bar("packing", "bytes") as advance:
            packed = packing.pack(
                photos,
                out,
                seed=seed,
                shard_bytes=shard_mib * 2**20,
                follow_links=follow_links,
                table=TableOptions(table or "", *columns),
                progress=advance,
            )
    for note in packed.notes:
        terminal.note(note)
    size = f"{packed.size / 2**20:,.1f} MiB"
    terminal.result(f"{out}: {packed.pictures} pictures, {size} in {packed.shards} shards")


@app.command()
def upload(
    folder: Folder,
    address: Annotated[str, typer.Argument(metavar="S3://…", help="where to upload")],
    follow_links: FollowLinks = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Upload a folder to S3, only what changed.

    If an upload is interrupted, the next one continues.
    """
    from scripts.photos import unpacking

    with unpacking.folder_of(folder) as photos:
        _upload(photos, address, region, follow_links=follow_links, dry_run=dry_run)


def _upload(
    folder: Path, address: str, region: str | None, *, follow_links: bool, dry_run: bool
) -> None:
    from pictures.picture import shorten
    from scripts.photos import links
    from scripts.photos import upload as uploading

    if not follow_links and folder.is_dir():
        _warn_of_links(folder, links.not_followed(folder))
    if dry_run:
        bucket, prefix = names.bucket_and_key(address.rstrip("/") + "/")
        files = uploading.local_files(folder, follow_links=follow_links)
        terminal.dry_run(
            objects.put(bucket, prefix + key, str(path)) for key, path in files.items()
        )
        return
    aws = Aws(region)
    todo = uploading.plan(aws, folder, address, follow_links=follow_links)
    terminal.note(f"{todo.same} files are up to date, {len(todo.send)} to upload")
    with progress.bar("uploading", "bytes", todo.size) as advance:
        uploading.run(aws, todo, advance)
    terminal.result(f"{address}: {len(todo.digests)} files, checksums in {uploading.MANIFEST}")
    if todo.extra:
        terminal.note(f"in S3 but not in {folder}, not deleted: {shorten(todo.extra)}")


def _warn_of_links(folder: Path, links: Sequence[str]) -> None:
    from pictures.picture import shorten

    if links:
        terminal.note(
            f"WARNING: links in {folder} are not followed: {shorten(links)}; "
            "--follow-links takes what they lead to"
        )


@contextmanager
def _data_errors() -> Iterator[None]:
    """Turn a DataError, which the training image raises too, into a Problem."""
    from pictures.picture import DataError

    try:
        yield
    except DataError as error:
        raise Problem(str(error)) from error


def _show_groups(what: str, groups: "Iterable[tuple[Photo, ...]]", folder: Path) -> None:
    from pictures.picture import shorten

    found = list(groups)
    for group in found[:_MAX_GROUPS]:
        terminal.result(f"{what}: {shorten([_below(folder, one.path) for one in group])}")
    if len(found) > _MAX_GROUPS:
        terminal.result(f"{what}: {len(found) - _MAX_GROUPS} more groups")


def _below(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)

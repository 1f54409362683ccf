"""`kennel data check`, `pack` and `upload`: photos, before they cost anything.

Pillow and its like are imported by the verb that needs them, so that all others start without them
(benchmarks/startup.py).
"""

from collections.abc import Iterator, Sequence
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
    from train.config import TrainConfig

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
    valid: Annotated[Path | None, typer.Option(help="the folder of a channel of its own")] = None,
    test: Annotated[Path | None, typer.Option(help="the folder of a channel of its own")] = None,
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

    config = _hyperparameters(
        spec,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        max_unreadable=max_unreadable,
        table=table,
        picture_column=picture_column,
        label_column=label_column,
        split_column=split_column,
    )
    settings: dict[str, Any] = {
        name: getattr(config, name)
        for name in ("valid_fraction", "test_fraction", "split_seed", "max_unreadable")
    }
    settings["table"] = TableOptions(
        config.table, config.picture_column, config.label_column, config.split_column
    )
    if save and folder.is_file():
        raise Problem("--save writes into the folder of the photos: unpack the archive first")
    with unpacking.folder_of(folder) as unpacked:
        parts = {"train": unpacked, "valid": valid, "test": test}
        found = {name: path for name, path in parts.items() if path}
        _check(found if len(found) > 1 else {"data": unpacked}, settings, save=save, strict=strict)


def _check(given: dict[str, Path], settings: dict[str, Any], *, save: bool, strict: bool) -> None:
    from pictures import checks
    from scripts.photos import checking, links

    folder = given["data"] if len(given) == 1 else Path()
    with _data_errors(), progress.bar("checking", "files") as advance:
        found = checks.check(given, lambda _done, total: advance(1, total), **settings)
    left = [str(path / name) for path in given.values() for name in links.not_followed(path)]
    warned = checking.show(found, folder, left)
    if save:
        checking.save(found)
    if found.errors or (strict and warned):
        raise typer.Exit(1)
    terminal.result("the job would train; see the warnings" if warned else "no problems found")


def _hyperparameters(spec: Path | None, **given: object) -> "TrainConfig":
    """Return the hyperparameters of an experiment, with those of the command line."""
    from train.config import ConfigError, from_hyperparameters

    base = options.experiment(spec, None).hyperparameters if spec else {}
    try:
        return from_hyperparameters(
            {**base, **{name: value for name, value in given.items() if value is not None}}
        )
    except ConfigError as error:
        raise Problem(str(error)) from error


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

    if folder.is_dir():
        if not follow_links:
            _warn_of_links(folder, links.not_followed(folder))
        with _data_errors():
            if skipped := uploading.passed_over(folder):
                terminal.note(skipped)
    if dry_run:
        bucket, prefix = names.bucket_and_key(address.rstrip("/") + "/")
        files = uploading.local_files(folder, follow_links=follow_links)
        terminal.dry_run(
            objects.put(bucket, prefix + key, str(path)) for key, path in files.items()
        )
        return
    aws = Aws(region)
    todo = uploading.plan(aws, folder, address, follow_links=follow_links)
    terminal.note(f"{len(todo.same)} files are up to date, {len(todo.send)} to upload")
    try:
        with progress.bar("uploading", "bytes", todo.size) as advance:
            uploading.run(aws, todo, advance)
    except KeyboardInterrupt:
        terminal.note("stopped: what was sent stays, and the same command sends the rest")
        raise typer.Exit(130) from None
    total = len(todo.same) + len(todo.send)
    terminal.result(f"{address}: {total} files, checksums in {uploading.MANIFEST}")
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

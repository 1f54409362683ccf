"""Packs a folder of photos into tar shards, split by split, for training to read."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pictures import channels, shards
from pictures.folders import NEAR_COPIES
from pictures.picture import shorten
from pictures.tables.table import FIND, TableOptions
from scripts.photos import links
from scripts.problem import Problem


@dataclass(frozen=True)
class Summary:
    """What was packed: pictures, shards, bytes; `notes` are sentences on what was passed over."""

    pictures: int
    shards: int
    size: int
    notes: tuple[str, ...]


def pack(
    root: Path,
    out: Path,
    *,
    seed: int,
    shard_bytes: int,
    follow_links: bool = False,
    table: TableOptions = FIND,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Summary:
    """Pack `root` into `out`; train, valid and test folders stay separate.

    Args:
        root: the photos.
        out: a new or empty folder.
        seed: shuffles the training pictures.
        shard_bytes: the approximate size of a shard.
        follow_links: also pack what links out of the folder lead to.
        table: which table has the labels; the shards have a folder for each class instead.
        progress: called with the size of each picture, in bytes.

    Raises:
        Problem: `out` is not empty, or a file cannot be read or written.
        DataError: as training, there are no class folders, or they are unclear.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Problem(f"{out} is not empty: give a new folder for the shards")
    if out.resolve().is_relative_to(root.resolve()):
        raise Problem(f"{out} is inside {root}: give a folder elsewhere for the shards")
    given = channels.layout({"data": root}, table)
    whole = list(given.listings) == ["train"]
    real = root.resolve()
    splits: dict[str, list[tuple[str, str, Callable[[], bytes]]]] = {}
    empty: list[str] = []
    for part, listing in given.listings.items():
        own = splits.setdefault("" if whole and given.roots[part] == root else part, [])
        for name, samples in listing.classes.items():
            if any(sample.place for sample in samples):
                raise Problem(f"{root} holds packed shards: give the folder they were made from")
            taken = [one for one in samples if follow_links or not links.leads_out(one.path, real)]
            own += [(name, sample.name, sample.path.read_bytes) for sample in taken]
            if not taken:
                empty.append(f"{part}/{name}")
    if not any(splits.values()):
        raise Problem(f"{root} has only links to pictures elsewhere: give --follow-links")
    count = size = 0
    try:
        for part, found in splits.items():
            if not found:
                continue
            order = seed if part in ("", "train") else None
            for bytes_ in shards.write(out / part, found, shuffle=order, shard_bytes=shard_bytes):
                count, size = count + 1, size + bytes_
                progress(bytes_)
        near = given.roots["train"] / NEAR_COPIES
        if near.is_file():
            shutil.copyfile(near, (out if "" in splits else out / "train") / NEAR_COPIES)
    except OSError as error:
        raise Problem(
            f"packing failed ({error}): fix the cause, delete {out}, and pack again"
        ) from error
    skipped = [f"skipped class folders without pictures: {shorten(empty)}"] if empty else []
    skipped += [sentence] if (sentence := given.passed.sentence(root)) else []
    return Summary(count, len(list(out.rglob("*.tar"))), size, (*given.notes, *skipped))

"""Packs a folder of photos into tar shards, split by split, for training to read."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pictures import checks, shards
from pictures.folders import SPLITS, subfolders
from scripts.photos import links
from scripts.problem import Problem

_SPLIT_NAMES = {name for names in SPLITS.values() for name in names}


@dataclass(frozen=True)
class Summary:
    """What was packed: pictures, shards, bytes, and the class folders without pictures."""

    pictures: int
    shards: int
    size: int
    empty: tuple[str, ...]


def pack(
    root: Path,
    out: Path,
    *,
    seed: int,
    shard_bytes: int,
    follow_links: bool = False,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Summary:
    """Pack `root` into `out`; train, valid and test folders stay separate.

    Args:
        root: the photos.
        out: a new or empty folder.
        seed: shuffles the training pictures.
        shard_bytes: the approximate size of a shard.
        follow_links: also pack what links out of the folder lead to.
        progress: called with the size of each picture, in bytes.

    Raises:
        Problem: `out` is not empty, or a file cannot be read or written.
        DataError: there are no class folders.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Problem(f"{out} is not empty: give a new folder for the shards")
    if out.resolve().is_relative_to(root.resolve()):
        raise Problem(f"{out} is inside {root}: give a folder elsewhere for the shards")
    splits: dict[Path, list[tuple[str, str, Callable[[], bytes]]]] = defaultdict(list)
    real = root.resolve()
    for path, _, label in checks.files(root):
        if not follow_links and links.leads_out(path, real):
            continue
        inside = path.relative_to(root)
        depth = int(inside.parts[0].lower() in _SPLIT_NAMES)
        name = "/".join(inside.parts[depth + 1 :])
        splits[Path(*inside.parts[:depth])].append((label, name, path.read_bytes))
    if not splits:
        raise Problem(f"{root} has only links to pictures elsewhere: give --follow-links")
    count = size = 0
    try:
        for split, found in sorted(splits.items()):
            order = seed if split.name.lower() in ("", *SPLITS["train"]) else None
            for bytes_ in shards.write(out / split, found, shuffle=order, shard_bytes=shard_bytes):
                count, size = count + 1, size + bytes_
                progress(bytes_)
    except OSError as error:
        raise Problem(
            f"packing failed ({error}): fix the cause, delete {out}, and pack again"
        ) from error
    full = {(split, label) for split, found in splits.items() for label, _, _ in found}
    empty = tuple(
        (split / folder.name).as_posix()
        for split in sorted(splits)
        for folder in subfolders(root / split)
        if (split, folder.name) not in full
    )
    return Summary(count, len(list(out.rglob("*.tar"))), size, empty)

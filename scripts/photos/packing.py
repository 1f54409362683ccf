"""A folder of photos into shards, split by split, as training will read them."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pictures import checks, shards
from scripts.problem import Problem

_NAMES = {name for names in checks.SPLITS.values() for name in names}


@dataclass(frozen=True)
class Found:
    """What was packed: counts, bytes of pictures, and the class folders that had none."""

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
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Found:
    """Pack `root` into `out`: with train, valid and test folders where `root` has them.

    Args:
        root: the photos.
        out: a new or empty folder.
        seed: of the order of the training pictures.
        shard_bytes: about how large a shard gets.
        progress: called with the bytes of each picture packed.

    Raises:
        Problem: no class folders, `out` is in use, a file cannot be read or written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Problem(f"{out} is there already and not empty: name a new folder for the shards")
    if out.resolve().is_relative_to(root.resolve()):
        raise Problem(f"{out} is inside {root}: name a folder elsewhere for the shards")
    splits: dict[Path, list[tuple[str, str, Callable[[], bytes]]]] = defaultdict(list)
    for path, _, label in checks.files(root):
        inside = path.relative_to(root)
        depth = int(inside.parts[0].lower() in _NAMES)
        name = "/".join(inside.parts[depth + 1 :])
        splits[Path(*inside.parts[:depth])].append((label, name, path.read_bytes))
    count = size = 0
    try:
        for split, found in sorted(splits.items()):
            order = seed if split.name.lower() in ("", *checks.SPLITS["train"]) else None
            for bytes_ in shards.write(out / split, found, shuffle=order, shard_bytes=shard_bytes):
                count, size = count + 1, size + bytes_
                progress(bytes_)
    except OSError as error:
        raise Problem(
            f"packing ended early ({error}): mend it, empty {out}, and pack again"
        ) from error
    full = {(split, label) for split, found in splits.items() for label, _, _ in found}
    empty = tuple(
        (split / folder.name).as_posix()
        for split in sorted(splits)
        for folder in checks.folders(root / split)
        if (split, folder.name) not in full
    )
    return Found(count, len(list(out.rglob("*.tar"))), size, empty)

"""Packed shards: thousands of pictures in a few tar files, with an index next to them.

A folder of class folders becomes `00000.tar`, `00001.tar`, … and `index.json`. `tar` itself would
make the same tar files of the folder, and WebDataset reads them. The index gives the position of
each picture, so that pictures can be read in any order. `kennel data pack` writes shards, training
reads them.
"""

import hashlib
import io
import json
import random
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pictures.files import write_atomically

INDEX = "index.json"
FORMAT = 1
SHARD_BYTES = 256 * 2**20  # long reads and few files; S3 lists a thousand at once


class ShardError(ValueError):
    """Shards that are damaged or incomplete; the message names the file and the cure."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The position of a picture in a shard: bytes `start` to `start + size`, and their CRC-32."""

    shard: Path
    start: int
    size: int
    crc: int

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            ShardError: they differ from the bytes that were packed.
        """
        with self.shard.open("rb") as file:
            file.seek(self.start)
            return self.check(file.read(self.size))

    def check(self, found: bytes) -> bytes:
        """Return the bytes `found` if they are right; they can come from a longer read.

        Raises:
            ShardError: they differ from the bytes that were packed.
        """
        if len(found) != self.size or zlib.crc32(found) != self.crc:
            raise ShardError(
                f"shard {self.shard.name} is damaged at byte {self.start:,} (the checksum does not "
                "match): download it again, or pack again"
            )
        return found


@dataclass(frozen=True)
class Packed:
    """A picture of a shard: its class folder, its path below that, and its position."""

    folder: str
    name: str
    place: Slice


def is_packed(root: Path, *, class_folders: bool) -> bool:
    """Whether a folder holds shards; without class folders, an index or one tar file is enough."""
    parts = (root / INDEX).is_file(), any(root.glob("*.tar"))
    return all(parts) if class_folders else any(parts)


def read(root: Path) -> tuple[Packed, ...]:
    """Return the pictures of a packed folder, in the order of the shards.

    Raises:
        ShardError: the index is damaged or of a newer format, or a shard is missing or has another
            size.
    """
    contents = _index(root / INDEX)
    found: list[Packed] = []
    for shard in contents["shards"]:
        path = root / shard["file"]
        size = path.stat().st_size if path.is_file() else None
        if size != shard["size"]:
            state = "missing" if size is None else f"{size:,} bytes long"
            raise ShardError(
                f"shard {path} is {state} where the index has {shard['size']:,} bytes: download it "
                "again, or pack again"
            )
        for number, name, start, length, crc in shard["pictures"]:
            folder = contents["folders"][number]
            found.append(Packed(folder, name, Slice(path, start, length, crc)))
    return tuple(found)


def _index(path: Path) -> dict[str, Any]:
    try:
        contents = json.loads(path.read_bytes())
        digest = contents.pop("digest")
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ShardError(
            f"{path} is not an index of shards ({error!r}): download it again, or pack again"
        ) from error
    if contents.get("format") != FORMAT:
        raise ShardError(
            f"{path} has format {contents.get('format')!r}, this Kennel reads {FORMAT}: pack "
            "again, or use the newer Kennel"
        )
    if digest != _digest(contents):
        raise ShardError(
            f"{path} is damaged (its checksum does not match): download it again, or pack again"
        )
    return dict(contents)


def write(
    out: Path,
    pictures: Iterable[tuple[str, str, Callable[[], bytes]]],
    *,
    shuffle: int | None,
    shard_bytes: int = SHARD_BYTES,
) -> Iterator[int]:
    """Pack pictures into `out` and yield the size of each in bytes; the index is written last.

    Args:
        out: a folder, created if it does not exist; it must be empty.
        pictures: class folder, path below it, and a function that returns the bytes.
        shuffle: the seed of a random order, so that neighbours are of many classes; None keeps the
            given order.
        shard_bytes: the approximate size of a shard.

    Raises:
        FileExistsError: `out` is not empty.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: name another folder")
    chosen = list(pictures)
    folders = sorted({folder for folder, _, _ in chosen})
    numbers = {folder: number for number, folder in enumerate(folders)}
    if shuffle is not None:
        random.Random(shuffle).shuffle(chosen)  # noqa: S311 (an order, not a secret)
    listed: list[dict[str, Any]] = []
    waiting = iter(chosen)
    picture = next(waiting, None)
    while picture is not None:
        path = out / f"{len(listed):05d}.tar"
        entries: list[tuple[int, str, int, int, int]] = []
        with path.open("wb") as file:
            while picture is not None and file.tell() < shard_bytes:
                folder, name, content = picture[0], picture[1], picture[2]()
                file.write(_header(f"{folder}/{name}", len(content)))
                entries.append(
                    (numbers[folder], name, file.tell(), len(content), zlib.crc32(content))
                )
                file.write(content + bytes(-len(content) % tarfile.BLOCKSIZE))
                yield len(content)
                picture = next(waiting, None)
            file.write(bytes(2 * tarfile.BLOCKSIZE))  # a tar file's end
            size = file.tell()
        listed.append({"file": path.name, "size": size, "pictures": entries})
    contents = {"format": FORMAT, "folders": folders, "shards": listed}
    index = json.dumps(contents | {"digest": _digest(contents)}, ensure_ascii=False)
    write_atomically(out / INDEX, index.encode())


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.PAX_FORMAT)


def _digest(contents: dict[str, Any]) -> str:
    text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_together(places: Sequence[Slice]) -> list[bytes | ShardError | OSError]:
    """Return the bytes of several pictures; neighbours are read in one long read.

    A picture that cannot be read is returned as its error.
    """
    found: list[bytes | ShardError | OSError] = []
    for first, last in _runs(places):
        run = places[first:last]
        begin = run[0].start
        try:
            with run[0].shard.open("rb", buffering=0) as file:
                file.seek(begin)
                whole = _exactly(file, run[-1].start + run[-1].size - begin)
        except OSError as error:
            found += [error] * len(run)
            continue
        for place in run:
            offset = place.start - begin
            try:
                found.append(place.check(whole[offset : offset + place.size]))
            except ShardError as error:
                found.append(error)
    return found


def _runs(places: Sequence[Slice]) -> Iterator[tuple[int, int]]:
    """Yield the first index and the end index of each run of neighbours."""
    first = 0
    for at in range(1, len(places) + 1):
        if at < len(places):
            before, place = places[at - 1], places[at]
            gap = place.start - (before.start + before.size)
            # The gap is padding and a header, or three headers if the name is long.
            if place.shard == before.shard and 0 <= gap <= 6 * tarfile.BLOCKSIZE:
                continue
        yield first, at
        first = at


def _exactly(file: io.FileIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)

"""Packed shards: thousands of pictures in a few tar files, with an index beside them.

A folder of class folders becomes `00000.tar`, `00001.tar`, … and `index.json`. The tar files are
what `tar` itself would make of the folder (and what WebDataset reads); the index tells where in
them each picture lies, so that they can be read in any order. Imports no torch: `kennel data pack`
writes what training reads.
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

INDEX = "index.json"
FORMAT = 1
SHARD_BYTES = 256 * 2**20  # long reads, and few files; a job on S3 lists a thousand at once


class ShardError(ValueError):
    """Shards that are damaged, cut short or incomplete; the message names the file and the cure."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Where in a shard a picture lies: bytes `start` to `start + size`, of that CRC-32."""

    shard: Path
    start: int
    size: int
    crc: int

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            ShardError: they are not what was packed.
        """
        with self.shard.open("rb") as file:
            file.seek(self.start)
            return self.check(file.read(self.size))

    def check(self, found: bytes) -> bytes:
        """Return the bytes, which may have been read with others.

        Raises:
            ShardError: they are not what was packed.
        """
        if len(found) != self.size or zlib.crc32(found) != self.crc:
            raise ShardError(
                f"shard {self.shard.name} is damaged at byte {self.start:,} (the checksum does not "
                "match): bring it here again, or pack anew"
            )
        return found


@dataclass(frozen=True)
class Packed:
    """A picture of a shard: its class folder, its path below that, and where it lies."""

    folder: str
    name: str
    place: Slice


def is_packed(root: Path, *, class_folders: bool) -> bool:
    """Whether a folder holds shards, or what is left of them where it has no class folders."""
    parts = (root / INDEX).is_file(), any(root.glob("*.tar"))
    return all(parts) if class_folders else any(parts)


def read(root: Path) -> tuple[Packed, ...]:
    """Return the pictures of a packed folder, in the order in which they lie in the shards.

    Raises:
        ShardError: the index is damaged or of a newer form, a shard is missing or of another size.
    """
    contents = _index(root / INDEX)
    found: list[Packed] = []
    for shard in contents["shards"]:
        path = root / shard["file"]
        size = path.stat().st_size if path.is_file() else None
        if size != shard["size"]:
            state = "missing" if size is None else f"{size:,} bytes long"
            raise ShardError(
                f"shard {path} is {state} where the index has {shard['size']:,} bytes: bring it "
                "here again, or pack anew"
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
            f"{path} is no index of shards ({error!r}): bring it here again, or pack anew"
        ) from error
    if contents.get("format") != FORMAT:
        raise ShardError(
            f"{path} is of form {contents.get('format')!r}, this Kennel reads {FORMAT}: pack anew, "
            "or use the newer Kennel"
        )
    if digest != _digest(contents):
        raise ShardError(
            f"{path} is damaged (its checksum does not match): bring it here again, or pack anew"
        )
    return dict(contents)


def write(
    out: Path,
    pictures: Iterable[tuple[str, str, Callable[[], bytes]]],
    *,
    shuffle: int | None,
    shard_bytes: int = SHARD_BYTES,
) -> Iterator[int]:
    """Pack pictures into `out`, and yield the bytes of each as it is packed; the index comes last.

    Args:
        out: a folder, made if need be; it must not hold shards of another set.
        pictures: class folder, path below it, and what gives the bytes.
        shuffle: the seed of the order in which they are laid, so that those read together are of
            many classes; None keeps the order given.
        shard_bytes: about how large a shard gets.

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
    partial = out / f"{INDEX}.partial"
    partial.write_text(json.dumps(contents | {"digest": _digest(contents)}, ensure_ascii=False))
    partial.replace(out / INDEX)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.PAX_FORMAT)


def _digest(contents: dict[str, Any]) -> str:
    text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_together(places: Sequence[Slice]) -> list[bytes | ShardError | OSError]:
    """Return the bytes of several pictures, those that lie side by side in one long read.

    What cannot be read is returned as the error.
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
    """Yield the first and the last, excluded, of pictures that lie side by side."""
    first = 0
    for at in range(1, len(places) + 1):
        if at < len(places):
            before, place = places[at - 1], places[at]
            gap = place.start - (before.start + before.size)
            # Padding and a header, two more where a name is long.
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

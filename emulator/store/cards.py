"""Metadata of the objects on disk: a folder for each bucket, with a JSON file for each object."""

import datetime as dt
import hashlib
import json
import urllib.parse
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.s3.models import FakeKey

from emulator.errors import JobError
from emulator.store.blobs import Blob
from emulator.store.json_files import write_json
from emulator.store.paths import child, remove_child

_BUCKET_FILE, _CARD = "bucket.json", ".card.json"
_CHECKSUM = ("value", "type", "parts", "algorithm")  # moto's attributes are checksum_value, …
_PARTS = ("part_sizes", "part_checksums")  # lists, for an object that was sent in parts


@dataclass(frozen=True)
class Location:
    """A bucket and a key, or a prefix of keys."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "Location":
        """Parse `s3://bucket/key`.

        Raises:
            JobError: not an S3 URI.
        """
        if not uri.startswith("s3://"):
            raise JobError(f"ClientError: {uri} is not an s3:// URI")
        bucket, _, key = uri[5:].partition("/")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def join(self, *parts: str) -> "Location":
        """Return a location below this one."""
        return Location(self.bucket, "/".join([self.key.removesuffix("/"), *parts]).lstrip("/"))


class Cards:
    """The folder with all buckets.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, Path] = {}

    def add_bucket(self, name: str, region: str) -> None:
        """Make a bucket's folder, if it does not exist."""
        file = self._folder(name) / _BUCKET_FILE
        if not file.exists():
            write_json(file, {"name": name, "region": region})

    def remove_bucket(self, name: str) -> None:
        """Remove a bucket's folder with all objects, if it exists."""
        remove_child(self._root, self._folder(name).name)

    def write(self, place: Location, moto_key: FakeKey) -> None:
        """Write the metadata of an object whose bytes are in a file."""
        blob = file_of(moto_key)
        assert blob
        about = {
            "bucket": place.bucket,
            "key": place.key,
            "blob": blob.name,
            "etag": moto_key.etag.strip('"'),
            "modified": moto_key.last_modified.isoformat(),
            "metadata": dict(moto_key.metadata),
            "storage": moto_key.storage_class,
        }
        checksum = {name: getattr(moto_key, f"checksum_{name}", None) for name in _CHECKSUM}
        about |= {"checksum": checksum} if checksum["value"] else {}
        for name in _PARTS:
            if found := getattr(moto_key, name, None):
                about[name] = found
        write_json(self._path(place), about)

    def blob(self, place: Location) -> Path | None:
        """Return the file with the bytes of an object on disk, or None."""
        card = self._path(place)
        return child(card.parent, json.loads(card.read_text())["blob"]) if card.exists() else None

    def remove(self, place: Location) -> None:
        """Forget an object; the file with its bytes remains."""
        self._path(place).unlink(missing_ok=True)

    def new_file(self, place: Location) -> Path:
        """Return the path of a new file for an object's bytes."""
        return self._path(place).with_suffix("").with_suffix(f".{uuid.uuid4().hex}")

    def load(self) -> Iterator[tuple[dict[str, Any], Iterator[tuple[dict[str, Any], Path]]]]:
        """Yield each bucket, and its objects: their metadata and the file with their bytes.

        What a killed emulator left of unfinished requests is deleted.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        for file in sorted(self._root.glob(f"*/{_BUCKET_FILE}")):
            yield json.loads(file.read_text()), self._objects(file.parent)

    def _objects(self, folder: Path) -> Iterator[tuple[dict[str, Any], Path]]:
        unknown = {path.name: path for path in folder.iterdir() if path.is_file()}
        del unknown[_BUCKET_FILE]
        for card in sorted(folder.glob(f"*{_CARD}")):
            about = json.loads(card.read_text())
            blob = child(folder, about["blob"])
            if blob.name in unknown:  # else the emulator was killed during a deletion
                del unknown[card.name], unknown[blob.name]
                yield about, blob
        for path in unknown.values():
            path.unlink()

    def _folder(self, bucket: str) -> Path:
        if bucket not in self._folders:
            self._folders[bucket] = child(self._root, urllib.parse.quote(bucket, safe=""))
        return self._folders[bucket]

    def _path(self, place: Location) -> Path:
        name = hashlib.sha256(place.key.encode()).hexdigest()[:40]
        return self._folder(place.bucket) / f"{name}{_CARD}"


def fill(moto_key: FakeKey, about: dict[str, Any]) -> None:
    """Give moto's key the metadata that `write` wrote."""
    moto_key.set_metadata(about["metadata"])
    moto_key.last_modified = dt.datetime.fromisoformat(about["modified"])
    for name, value in about.get("checksum", {}).items():
        setattr(moto_key, f"checksum_{name}", value)
    for name in _PARTS:
        setattr(moto_key, name, about.get(name))


def file_of(moto_key: FakeKey) -> Path | None:
    """Return the file from which moto's key reads, or None if its bytes are in memory."""
    buffer: Any = moto_key._value_buffer
    return buffer.path if isinstance(buffer, Blob) else None


def attach(moto_key: FakeKey, blob: Path, *, temporary: bool = False) -> None:
    """Let moto's key read its bytes from a file."""
    moto_key._value_buffer.close()
    moto_key._value_buffer = Blob(blob, temporary=temporary)  # type: ignore[assignment]
    moto_key.contentsize = blob.stat().st_size
    if moto_key.multipart is not None:
        moto_key.multipart.dispose()
        moto_key.multipart = None

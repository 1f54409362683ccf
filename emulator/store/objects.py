"""S3 objects on disk: moto answers requests, this module stores bytes and metadata in files.

By itself, moto keeps objects only in memory. A restart keeps buckets, and the newest version of
each object with its metadata. It loses older versions, ACLs, tags, policies and unfinished uploads.
"""

import contextlib
import datetime as dt
import hashlib
import json
import shutil
import threading
import urllib.parse
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.s3.models import FakeKey, s3_backends

from emulator.errors import JobError
from emulator.settings import ACCOUNT
from emulator.store.json_files import write_json
from emulator.store.paths import child, open_private, remove_child


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
        return Location(self.bucket, "/".join([self.key.rstrip("/"), *parts]).lstrip("/"))


class Blob:
    """An object's bytes in a file, with the file methods that moto's FakeKey calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def seek(self, position: int) -> None:
        """Set the position of the next read."""
        self._at = position

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            piece = file.read(size)
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Do nothing: no file is open between reads."""


class Objects:
    """The objects of all buckets.

    Args:
        root: a folder; objects already in it are loaded into moto.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.lock = threading.RLock()  # also held while moto reads
        self._backend: Any = s3_backends[ACCOUNT]["aws"]
        root.mkdir(parents=True, exist_ok=True)
        for file in sorted(root.glob("*/bucket.json")):
            bucket = json.loads(file.read_text())
            if bucket["name"] not in self._backend.buckets:
                self._backend.create_bucket(bucket["name"], bucket["region"])
        for file in sorted(root.glob("*/*.card.json")):
            self._restore(json.loads(file.read_text()))

    def save(self, bucket: str, key: str = "") -> None:
        """Write moto's current state to disk: of one key, or of the whole bucket."""
        with self.lock:
            moto_bucket = self._backend.buckets.get(bucket)
            folder = self._folder(bucket)
            if moto_bucket is None:
                remove_child(self._root, folder.name)
                return
            if not (folder / "bucket.json").exists():
                info = {"name": bucket, "region": moto_bucket.region_name}
                write_json(folder / "bucket.json", info)
            if key:
                self._save_key(bucket, key, moto_bucket.keys.get(key))
                return
            for file in list(folder.glob("*.card.json")):
                name = json.loads(file.read_text())["key"]
                self._save_key(bucket, name, moto_bucket.keys.get(name))
            for name in list(moto_bucket.keys):
                self._save_key(bucket, name, moto_bucket.keys.get(name))

    def find(self, prefix: Location) -> list[Location]:
        """Return the objects with a prefix, sorted by key, without folder markers (`…/`).

        Raises:
            JobError: the bucket is missing.
        """
        with self.lock:
            self._require_bucket(prefix.bucket)
            keys = list(self._backend.buckets[prefix.bucket].keys)
        return [
            Location(prefix.bucket, key)
            for key in sorted(keys)
            if key.startswith(prefix.key)
            and not key.endswith("/")
            and self._key(prefix.bucket, key)
        ]

    def fetch(self, place: Location, target: Path) -> None:
        """Write an object to a file.

        Raises:
            JobError: no such object.
        """
        body = self.read(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)

    def read(self, place: Location) -> bytes:
        """Return an object's bytes.

        Raises:
            JobError: no such object.
        """
        with self.lock:  # replacing an object deletes its file
            moto_key = self._key(place.bucket, place.key)
            if moto_key is None:
                raise JobError(f"ClientError: no object at {place}")
            value: bytes = moto_key.value
        return value

    def store(self, source: Path, place: Location) -> None:
        """Store a copy of a file as an object.

        Raises:
            JobError: the bucket is missing.
        """
        with self.lock:
            self._require_bucket(place.bucket)
            blob = self._new_blob(place.bucket, place.key)
            with source.open("rb") as original, open_private(blob, "wb") as copy:
                shutil.copyfileobj(original, copy)
            self._add(place, blob)

    def write(self, place: Location, body: bytes) -> None:
        """Store bytes as an object.

        Raises:
            JobError: the bucket is missing.
        """
        with self.lock:
            self._require_bucket(place.bucket)
            blob = self._new_blob(place.bucket, place.key)
            _write_private(blob, body)
            self._add(place, blob)

    def _add(self, place: Location, blob: Path) -> None:
        with blob.open("rb") as file:
            etag = hashlib.file_digest(file, "md5").hexdigest()
        moto_key = self._backend.put_object(place.bucket, place.key, b"", etag=etag)
        _read_from(moto_key, blob)
        self._write_metadata(place.bucket, place.key, moto_key, blob)

    def _key(self, bucket: str, key: str) -> Any:
        self._require_bucket(bucket)
        moto_key = self._backend.buckets[bucket].keys.get(key)
        return moto_key if isinstance(moto_key, FakeKey) else None  # not a delete marker

    def _require_bucket(self, bucket: str) -> None:
        if bucket not in self._backend.buckets:
            raise JobError(f"ClientError: S3 bucket {bucket} does not exist")

    def _folder(self, bucket: str) -> Path:
        return child(self._root, urllib.parse.quote(bucket, safe=""))

    def _metadata_file(self, bucket: str, key: str) -> Path:
        return self._folder(bucket) / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.card.json"

    def _new_blob(self, bucket: str, key: str) -> Path:
        self._folder(bucket).mkdir(parents=True, exist_ok=True)
        return self._metadata_file(bucket, key).with_suffix("").with_suffix(f".{uuid.uuid4().hex}")

    def _save_key(self, bucket: str, key: str, moto_key: Any) -> None:
        file = self._metadata_file(bucket, key)
        if not isinstance(moto_key, FakeKey):
            if file.exists():
                blob = file.parent / json.loads(file.read_text())["blob"]
                file.unlink()
                blob.unlink(missing_ok=True)
            return
        buffer: Any = moto_key._value_buffer
        if isinstance(buffer, Blob):  # already on disk; its metadata may have changed
            blob = buffer._path
        else:
            blob = self._new_blob(bucket, key)
            _write_private(blob, moto_key.value)
            moto_key.etag  # noqa: B018 - computes it once, from the bytes in memory
            _read_from(moto_key, blob)
            buffer.close()
        self._write_metadata(bucket, key, moto_key, blob)

    def _write_metadata(self, bucket: str, key: str, moto_key: Any, blob: Path) -> None:
        file = self._metadata_file(bucket, key)
        old_blob = json.loads(file.read_text())["blob"] if file.exists() else blob.name
        write_json(
            file,
            {
                "bucket": bucket,
                "key": key,
                "blob": blob.name,
                "etag": moto_key.etag.strip('"'),
                "modified": moto_key.last_modified.isoformat(),
                "metadata": dict(moto_key.metadata),
            },
        )
        if old_blob != blob.name:
            (file.parent / old_blob).unlink(missing_ok=True)

    def _restore(self, metadata: dict[str, Any]) -> None:
        bucket, key = metadata["bucket"], metadata["key"]
        blob = child(self._folder(bucket), metadata["blob"])
        with contextlib.suppress(FileNotFoundError):  # the emulator was killed during a deletion
            blob.stat()
            moto_key = self._backend.put_object(bucket, key, b"", etag=metadata["etag"])
            moto_key.set_metadata(metadata["metadata"])
            moto_key.last_modified = dt.datetime.fromisoformat(metadata["modified"])
            _read_from(moto_key, blob)


def _write_private(file: Path, contents: bytes) -> None:
    with open_private(file, "wb") as opened:
        opened.write(contents)


def _read_from(moto_key: Any, blob: Path) -> None:
    """Let moto's key read its bytes from a file."""
    moto_key._value_buffer = Blob(blob)
    moto_key.contentsize = blob.stat().st_size
    if moto_key.multipart is not None:
        moto_key.multipart.dispose()
        moto_key.multipart = None

"""S3's objects on disk: moto keeps the books and answers, the bytes and a card for each lie here.

moto alone keeps objects in memory. Kept: buckets, the newest version of each object, its metadata.
Not kept over a restart: older versions, ACLs, tags, policies, unfinished multipart uploads.
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


@dataclass(frozen=True)
class Location:
    """A bucket and a key, or the beginning of keys."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "Location":
        """Read `s3://bucket/key`.

        Raises:
            JobError: it is none.
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
    """An object's bytes in a file, as much of a file object as moto's FakeKey asks for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def seek(self, position: int) -> None:
        """Read from here on."""
        self._at = position

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            found = file.read(size)
        self._at += len(found)
        return found

    def close(self) -> None:
        """Nothing is open between reads."""


class Objects:
    """The objects of all buckets.

    Args:
        root: the folder; what it already holds is given to moto.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.lock = threading.RLock()  # to be held while moto reads, too
        self._backend: Any = s3_backends[ACCOUNT]["aws"]
        root.mkdir(parents=True, exist_ok=True)
        for card in sorted(root.glob("*/bucket.json")):
            said = json.loads(card.read_text())
            if said["name"] not in self._backend.buckets:
                self._backend.create_bucket(said["name"], said["region"])
        for card in sorted(root.glob("*/*.card.json")):
            self._restore(json.loads(card.read_text()))

    def settle(self, bucket: str, key: str = "") -> None:
        """Bring the disk up to what moto now holds: of one key, or of the whole bucket."""
        with self.lock:
            held = self._backend.buckets.get(bucket)
            folder = self._folder(bucket)
            if held is None:
                shutil.rmtree(folder, ignore_errors=True)
                return
            if not (folder / "bucket.json").exists():
                write_json(folder / "bucket.json", {"name": bucket, "region": held.region_name})
            if key:
                self._settle_key(bucket, key, held.keys.get(key))
                return
            for card in list(folder.glob("*.card.json")):
                name = json.loads(card.read_text())["key"]
                self._settle_key(bucket, name, held.keys.get(name))
            for name in list(held.keys):
                self._settle_key(bucket, name, held.keys.get(name))

    def find(self, prefix: Location) -> list[Location]:
        """Return the objects whose keys begin so, in order; folder markers left out.

        Raises:
            JobError: the bucket is missing.
        """
        with self.lock:
            self._need(prefix.bucket)
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
            JobError: there is none.
        """
        body = self.read(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)

    def read(self, place: Location) -> bytes:
        """Return an object's bytes, or raise JobError."""
        with self.lock:  # once replaced, its file is gone
            held = self._key(place.bucket, place.key)
            if held is None:
                raise JobError(f"ClientError: no object at {place}")
            value: bytes = held.value
        return value

    def store(self, source: Path, place: Location) -> None:
        """Keep a file as an object.

        Raises:
            JobError: the bucket is missing.
        """
        with self.lock:
            self._need(place.bucket)
            blob = self._new_blob(place.bucket, place.key)
            shutil.copyfile(source, blob)
            with blob.open("rb") as file:
                etag = hashlib.file_digest(file, "md5").hexdigest()
            held = self._backend.put_object(place.bucket, place.key, b"", etag=etag)
            _rest_on(held, blob)
            self._write_card(place.bucket, place.key, held, blob)

    def _key(self, bucket: str, key: str) -> Any:
        self._need(bucket)
        held = self._backend.buckets[bucket].keys.get(key)
        return held if isinstance(held, FakeKey) else None  # not a delete marker

    def _need(self, bucket: str) -> None:
        if bucket not in self._backend.buckets:
            raise JobError(f"ClientError: S3 bucket {bucket} does not exist")

    def _folder(self, bucket: str) -> Path:
        return self._root / urllib.parse.quote(bucket, safe="")

    def _card(self, bucket: str, key: str) -> Path:
        return self._folder(bucket) / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.card.json"

    def _new_blob(self, bucket: str, key: str) -> Path:
        self._folder(bucket).mkdir(parents=True, exist_ok=True)
        return self._card(bucket, key).with_suffix("").with_suffix(f".{uuid.uuid4().hex}")

    def _settle_key(self, bucket: str, key: str, held: Any) -> None:
        card = self._card(bucket, key)
        if not isinstance(held, FakeKey):
            if card.exists():
                blob = card.parent / json.loads(card.read_text())["blob"]
                card.unlink()
                blob.unlink(missing_ok=True)
            return
        buffer: Any = held._value_buffer
        if isinstance(buffer, Blob):  # written before; a copy in place may change metadata alone
            blob = buffer._path
        else:
            blob = self._new_blob(bucket, key)
            blob.write_bytes(held.value)
            held.etag  # noqa: B018 - computed once, while the bytes are at hand
            _rest_on(held, blob)
            buffer.close()
        self._write_card(bucket, key, held, blob)

    def _write_card(self, bucket: str, key: str, held: Any, blob: Path) -> None:
        card = self._card(bucket, key)
        before = json.loads(card.read_text())["blob"] if card.exists() else blob.name
        write_json(
            card,
            {
                "bucket": bucket,
                "key": key,
                "blob": blob.name,
                "etag": held.etag.strip('"'),
                "modified": held.last_modified.isoformat(),
                "metadata": dict(held.metadata),
            },
        )
        if before != blob.name:
            (card.parent / before).unlink(missing_ok=True)

    def _restore(self, card: dict[str, Any]) -> None:
        blob = self._folder(card["bucket"]) / card["blob"]
        with contextlib.suppress(FileNotFoundError):  # deleted, and killed before its card was
            blob.stat()
            held = self._backend.put_object(card["bucket"], card["key"], b"", etag=card["etag"])
            held.set_metadata(card["metadata"])
            held.last_modified = dt.datetime.fromisoformat(card["modified"])
            _rest_on(held, blob)


def _rest_on(held: Any, blob: Path) -> None:
    """Have moto's key read its bytes from a file."""
    held._value_buffer = Blob(blob)
    held.contentsize = blob.stat().st_size
    if held.multipart is not None:
        held.multipart.dispose()
        held.multipart = None

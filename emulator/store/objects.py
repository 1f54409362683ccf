"""S3 objects on disk: moto has the list of objects, this module their bytes and metadata in files.

By itself, moto keeps objects only in memory. A restart keeps buckets, and the newest version of
each object with its metadata. It loses older versions, ACLs, tags, policies and unfinished uploads.
"""

import contextlib
import errno
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from moto.s3.models import FakeKey, s3_backends

from emulator.errors import JobError
from emulator.settings import ACCOUNT
from emulator.store.blobs import copy_file, copy_range, md5, open_blob
from emulator.store.cards import Cards, Location, attach, file_of, fill
from emulator.store.paths import open_private

__all__ = ["Location", "Objects", "Tags"]
Tags = Sequence[dict[str, str]]  # each with Key and Value
_LOCKS = 1024
# A file where a folder should be, or a folder where a file should be; a name that is too long.
_NO_PATH = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


class Objects:
    """The objects of all buckets. All methods are thread-safe, and hold no lock for all objects.

    An object changes while the lock of its key is held. Readers need no lock: they open the file
    that moto's key names, and try again if the object was replaced before they opened it.

    Args:
        root: a folder; objects already in it are loaded into moto, and files that belong to no
            object are deleted.
    """

    def __init__(self, root: Path) -> None:
        self._cards = Cards(root)
        self._locks = [threading.RLock() for _ in range(_LOCKS)]
        self._backend: Any = s3_backends[ACCOUNT]["aws"]
        for about, found in self._cards.load():
            if about["name"] not in self._backend.buckets:
                self._backend.create_bucket(about["name"], about["region"])
            keys = self._backend.buckets[about["name"]].keys
            for card, blob in found:
                place = Location(card["bucket"], card["key"])
                moto_key = self.new_key(place, card["etag"], card.get("storage", "STANDARD"))
                fill(moto_key, card)
                attach(moto_key, blob)
                keys.setlist(place.key, [moto_key])

    @property
    def backend(self) -> Any:
        """Moto's S3."""
        return self._backend

    def lock(self, place: Location) -> AbstractContextManager[bool]:
        """Hold while an object changes; a thread can take it several times."""
        return self._locks[hash(place) % _LOCKS]

    def save_bucket(self, name: str) -> None:
        """Write to disk what moto has of a bucket and the disk does not; or remove the bucket."""
        bucket = self._backend.buckets.get(name)
        if bucket is None:
            self._cards.remove_bucket(name)
            return
        self._cards.add_bucket(name, bucket.region_name)
        for key in list(bucket.keys):
            moto_key = bucket.keys.get(key)
            if isinstance(moto_key, FakeKey) and not file_of(moto_key):
                self.save(Location(name, key))

    def save(self, place: Location) -> None:
        """Write moto's current state of an object to disk."""
        with self.lock(place):
            bucket = self._backend.buckets.get(place.bucket)
            moto_key = bucket.keys.get(place.key) if bucket is not None else None
            if bucket is None:
                return
            old = self._cards.blob(place)
            if not isinstance(moto_key, FakeKey):
                self._cards.remove(place)
                self._drop(bucket, old)
                return
            if not file_of(moto_key):
                blob = self.new_file(place)
                with open_private(blob, "xb") as file:
                    file.write(moto_key.value)
                moto_key.etag  # noqa: B018 - computes it once, from the bytes in memory
                attach(moto_key, blob)
            self._cards.write(place, moto_key)
            if old != file_of(moto_key):
                self._drop(bucket, old)

    def put(self, place: Location, blob: Path, moto_key: FakeKey, tags: Tags = ()) -> None:
        """Make a file and moto's new key the object; the old one and its tags are deleted.

        Raises:
            JobError: the bucket is missing.
        """
        attach(moto_key, blob)
        with self.lock(place):
            bucket = self._require_bucket(place.bucket)
            old = bucket.keys.get(place.key)
            self._cards.write(place, moto_key)
            bucket.keys.setlist(place.key, [moto_key])
            # moto has the tags by name: the new object would inherit them.
            self._backend.tagger.delete_all_tags_for_resource(moto_key.arn)
            if tags:
                self._backend.tagger.tag_resource(moto_key.arn, tags)
            self._drop(bucket, file_of(old) if isinstance(old, FakeKey) else None)

    def delete(self, place: Location) -> None:
        """Delete an object of a bucket without versions, if it exists."""
        with self.lock(place):
            bucket = self._require_bucket(place.bucket)
            old = bucket.keys.get(place.key)
            if old is None:
                return
            blob = file_of(old) if isinstance(old, FakeKey) else None
            self._cards.remove(place)
            bucket.keys.pop(place.key)
            self._drop(bucket, blob)

    def settle(self, place: Location, old: FakeKey | None) -> None:
        """Write the metadata of an object whose file is there; `old` was the object before.

        The caller holds the key's lock.
        """
        bucket, moto_key = self._require_bucket(place.bucket), self.key(place)
        assert moto_key
        self._cards.write(place, moto_key)
        self._drop(bucket, file_of(old) if old else None)

    def tags(self, moto_key: FakeKey) -> Tags:
        """Return an object's tags."""
        found: dict[str, Tags] = self._backend.tagger.list_tags_for_resource(moto_key.arn)
        return found["Tags"]

    def new_key(self, place: Location, etag: str, storage: str = "STANDARD") -> FakeKey:
        """Return a key for moto, which is not yet in the bucket."""
        return FakeKey(
            name=place.key,
            value=b"",
            account_id=self._backend.account_id,
            region_name=self._backend.region_name,
            storage=storage,
            etag=etag,
            version_id="null",
            bucket_name=place.bucket,
        )

    def new_file(self, place: Location) -> Path:
        """Return the path of a new file in the bucket's folder."""
        return self._cards.new_file(place)

    def open(self, place: Location) -> tuple[FakeKey, BinaryIO] | None:
        """Return moto's key and its open file, or None if there is no such object."""
        while (moto_key := self.key(place)) is not None:
            if blob := file_of(moto_key):
                with contextlib.suppress(FileNotFoundError):  # it was replaced just now
                    return moto_key, open_blob(blob)
            with self.lock(place):  # wait for whoever changes it
                if self.key(place) is moto_key:
                    if blob := file_of(moto_key):
                        return moto_key, open_blob(blob)
                    self.save(place)
        return None

    def key(self, place: Location) -> FakeKey | None:
        """Return moto's key of an object; None if there is none, or a delete marker."""
        bucket = self._backend.buckets.get(place.bucket)
        moto_key = bucket.keys.get(place.key) if bucket is not None else None
        return moto_key if isinstance(moto_key, FakeKey) else None

    def find(self, prefix: Location) -> list[Location]:
        """Return the objects with a prefix, sorted by key, without folder markers (`…/`).

        Raises:
            JobError: the bucket is missing.
        """
        bucket = self._require_bucket(prefix.bucket)
        found = [
            key for key in list(bucket.keys) if key.startswith(prefix.key) and not key.endswith("/")
        ]
        places = (Location(prefix.bucket, key) for key in sorted(found))
        return [place for place in places if self.key(place)]

    def fetch(self, place: Location, target: Path) -> None:
        """Write an object to a new file.

        Raises:
            JobError: no such object, or its key cannot be the path of a file.
        """
        moto_key, file = self._require(place)
        with file:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                copy = target.open("wb")
            except OSError as error:
                if error.errno not in _NO_PATH:
                    raise
                raise JobError(
                    f"ClientError: {place} cannot be downloaded to a file: {error.strerror}. One "
                    "object must not be the folder of another (a, a/b), and the parts of a key "
                    "have at most 255 bytes: rename the object"
                ) from None
            with copy:
                copy_range(file, copy, 0, moto_key.size)

    def read(self, place: Location) -> bytes:
        """Return an object's bytes.

        Raises:
            JobError: no such object.
        """
        with self.reader(place) as file:
            return file.read()

    def reader(self, place: Location) -> BinaryIO:
        """Return an object as an open file.

        Raises:
            JobError: no such object.
        """
        return self._require(place)[1]

    def store(self, source: Path, place: Location) -> None:
        """Store a copy of a file as an object.

        Raises:
            JobError: the bucket is missing.
        """
        self._add(place, lambda blob: copy_file(source, blob))

    def write(self, place: Location, body: bytes) -> None:
        """Store bytes as an object.

        Raises:
            JobError: the bucket is missing.
        """

        def write(blob: Path) -> None:
            with open_private(blob, "xb") as file:
                file.write(body)

        self._add(place, write)

    def _add(self, place: Location, fill: Callable[[Path], None]) -> None:
        bucket = self._require_bucket(place.bucket)
        blob = self.new_file(place)
        try:
            fill(blob)
            etag = md5(blob)
            if bucket.is_versioned:
                with self.lock(place):
                    moto_key = self._backend.put_object(place.bucket, place.key, b"", etag=etag)
                    attach(moto_key, blob)
                    self._cards.write(place, moto_key)
            else:
                self.put(place, blob, self.new_key(place, etag))
        except BaseException:
            blob.unlink(missing_ok=True)
            raise

    def _require(self, place: Location) -> tuple[FakeKey, BinaryIO]:
        self._require_bucket(place.bucket)
        found = self.open(place)
        if found is None:
            raise JobError(f"ClientError: no object at {place}")
        return found

    def _require_bucket(self, name: str) -> Any:
        bucket = self._backend.buckets.get(name)
        if bucket is None:
            raise JobError(f"ClientError: S3 bucket {name} does not exist")
        return bucket

    def _drop(self, bucket: Any, blob: Path | None) -> None:
        """Delete a file that is no object any more; moto may show it as an older version."""
        if blob and not bucket.is_versioned:
            blob.unlink(missing_ok=True)

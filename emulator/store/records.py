"""Stored resources: one JSON file for each, replaced in one step."""

import contextlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from emulator import region
from emulator.contract import Record
from emulator.resources import Resource
from emulator.store.json_files import write_json
from emulator.store.paths import child


class Records:
    """Resources by kind and name, in the region at work. All methods are thread-safe.

    Args:
        root: a folder; records already in it are loaded.
        home: the emulator's own region.
    """

    def __init__(self, root: Path, home: str) -> None:
        self._root, self._home = root, home
        self._lock = threading.RLock()
        self._all: dict[str, dict[str, Record]] = {}  # folder -> key of the name -> record
        for file in sorted(root.glob("*/*.json")):
            key = urllib.parse.unquote(file.stem)
            self._all.setdefault(file.parent.name, {})[key] = json.loads(file.read_text())

    def regions(self) -> list[str]:
        """Return the regions that have records."""
        with self._lock:
            return sorted({folder.partition("@")[2] or self._home for folder in self._all})

    def get(self, resource: Resource, name: str) -> Record | None:
        """Return a copy of a record, or None."""
        with self._lock:
            record = self._all.get(self._folder(resource), {}).get(resource.key(name))
            return json.loads(json.dumps(record)) if record is not None else None

    def all(self, resource: Resource) -> list[Record]:
        """Return copies of all records of a kind, oldest first."""
        with self._lock:
            records = list(self._all.get(self._folder(resource), {}).values())
            copies: list[Record] = json.loads(json.dumps(records))
        return sorted(copies, key=lambda record: record.get("CreationTime", 0))

    def add(self, resource: Resource, name: str, record: Record) -> bool:
        """Store a new record with its times; if the name is taken, store nothing, return False."""
        with self._lock:
            records = self._all.setdefault(self._folder(resource), {})
            if resource.key(name) in records:
                return False
            now = time.time()
            records[resource.key(name)] = {"CreationTime": now, "LastModifiedTime": now} | record
            self._write(resource, name)
            return True

    @contextlib.contextmanager
    def change(self, resource: Resource, name: str) -> Iterator[Record]:
        """Yield the record itself; it is saved when the block ends.

        Raises:
            KeyError: no such record.
        """
        with self._lock:
            record = self._all[self._folder(resource)][resource.key(name)]
            yield record
            record["LastModifiedTime"] = time.time()
            self._write(resource, name)

    def update(self, resource: Resource, name: str, **fields: object) -> None:
        """Set members of a record."""
        with self.change(resource, name) as record:
            record.update(fields)

    def remove(self, resource: Resource, name: str) -> None:
        """Delete a record."""
        with self._lock:
            del self._all[self._folder(resource)][resource.key(name)]
            self._path(resource, name).unlink()

    def clear(self) -> None:
        """Delete all records, of all regions."""
        with self._lock:
            self._all.clear()
            for file in self._root.glob("*/*.json"):
                file.unlink()

    def _folder(self, resource: Resource) -> str:
        """Return the folder of a kind in the region at work; the home region has plain names."""
        name = region.current(self._home)
        return resource.kind if name == self._home else f"{resource.kind}@{name}"

    def _path(self, resource: Resource, name: str) -> Path:
        file = f"{urllib.parse.quote(resource.key(name), safe='')}.json"
        return child(self._root / self._folder(resource), file)

    def _write(self, resource: Resource, name: str) -> None:
        record = self._all[self._folder(resource)][resource.key(name)]
        write_json(self._path(resource, name), record)

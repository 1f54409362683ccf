"""Stored resources: one JSON file for each, replaced in one step."""

import contextlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from emulator.contract import Record
from emulator.resources import Resource
from emulator.store.json_files import write_json
from emulator.store.paths import child


class Records:
    """Resources by kind and name. All methods are thread-safe.

    Args:
        root: a folder; records already in it are loaded.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.RLock()
        self._all: dict[str, dict[str, Record]] = {}
        for file in sorted(root.glob("*/*.json")):
            name = urllib.parse.unquote(file.stem)
            self._all.setdefault(file.parent.name, {})[name] = json.loads(file.read_text())

    def get(self, resource: Resource, name: str) -> Record | None:
        """Return a copy of a record, or None."""
        with self._lock:
            record = self._all.get(resource.kind, {}).get(name)
            return json.loads(json.dumps(record)) if record is not None else None

    def all(self, resource: Resource) -> list[Record]:
        """Return copies of all records of a kind, oldest first."""
        with self._lock:
            records = list(self._all.get(resource.kind, {}).values())
            copies: list[Record] = json.loads(json.dumps(records))
        return sorted(copies, key=lambda record: record.get("CreationTime", 0))

    def add(self, resource: Resource, name: str, record: Record) -> bool:
        """Store a new record with its times; if the name is taken, store nothing, return False."""
        with self._lock:
            records = self._all.setdefault(resource.kind, {})
            if name in records:
                return False
            now = time.time()
            records[name] = {"CreationTime": now, "LastModifiedTime": now} | record
            self._write(resource, name)
            return True

    @contextlib.contextmanager
    def change(self, resource: Resource, name: str) -> Iterator[Record]:
        """Yield the record itself; it is saved when the block ends.

        Raises:
            KeyError: no such record.
        """
        with self._lock:
            record = self._all[resource.kind][name]
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
            del self._all[resource.kind][name]
            self._path(resource, name).unlink()

    def _path(self, resource: Resource, name: str) -> Path:
        return child(self._root / resource.kind, f"{urllib.parse.quote(name, safe='')}.json")

    def _write(self, resource: Resource, name: str) -> None:
        write_json(self._path(resource, name), self._all[resource.kind][name])

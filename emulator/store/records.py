"""Everything the emulator remembers: one JSON file for each resource, written atomically."""

import contextlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from emulator.contract import Record
from emulator.store.json_files import write_json


class Records:
    """Resources by kind and name. All calls are safe from any thread.

    Args:
        root: a folder; what it already holds is read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.RLock()
        self._all: dict[str, dict[str, Record]] = {}
        for file in sorted(root.glob("*/*.json")):
            name = urllib.parse.unquote(file.stem)
            self._all.setdefault(file.parent.name, {})[name] = json.loads(file.read_text())

    def get(self, kind: str, name: str) -> Record | None:
        """Return a copy of a record, or None."""
        with self._lock:
            found = self._all.get(kind, {}).get(name)
            return json.loads(json.dumps(found)) if found is not None else None

    def all(self, kind: str) -> list[Record]:
        """Return copies of all records of a kind, oldest first."""
        with self._lock:
            found = list(self._all.get(kind, {}).values())
            copies: list[Record] = json.loads(json.dumps(found))
        return sorted(copies, key=lambda record: record.get("CreationTime", 0))

    def add(self, kind: str, name: str, record: Record) -> bool:
        """Keep a new record with its times; return False, keeping nothing, if the name is taken."""
        with self._lock:
            if name in self._all.setdefault(kind, {}):
                return False
            now = time.time()
            self._all[kind][name] = {"CreationTime": now, "LastModifiedTime": now} | record
            self._write(kind, name)
            return True

    @contextlib.contextmanager
    def change(self, kind: str, name: str) -> Iterator[Record]:
        """Give the record itself to be changed; it is written when the block ends.

        Raises:
            KeyError: no such record.
        """
        with self._lock:
            record = self._all[kind][name]
            yield record
            record["LastModifiedTime"] = time.time()
            self._write(kind, name)

    def update(self, kind: str, name: str, **fields: object) -> None:
        """Set members of a record."""
        with self.change(kind, name) as record:
            record.update(fields)

    def remove(self, kind: str, name: str) -> None:
        """Forget a record."""
        with self._lock:
            del self._all[kind][name]
            self._path(kind, name).unlink()

    def _path(self, kind: str, name: str) -> Path:
        return self._root / kind / f"{urllib.parse.quote(name, safe='')}.json"

    def _write(self, kind: str, name: str) -> None:
        write_json(self._path(kind, name), self._all[kind][name])

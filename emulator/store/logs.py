"""CloudWatch log streams: moto serves them; a file for each keeps them over a restart."""

import json
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

from moto.logs.models import logs_backends

from emulator import region
from emulator.settings import ACCOUNT
from emulator.store.paths import child, open_private


class Logs:
    """All log groups.

    Args:
        root: a folder; streams already in it are loaded into moto.
        home: the emulator's own region.
    """

    def __init__(self, root: Path, home: str) -> None:
        self._root, self._home = root, home
        self._lock = threading.Lock()
        for file in sorted(root.glob("*/*.jsonl")):
            folder, _, where = file.parent.name.partition("@")
            group, stream = urllib.parse.unquote(folder), urllib.parse.unquote(file.stem)
            events = [json.loads(line) for line in file.read_text().splitlines()]
            with self._lock:
                backend = self._open(where or home, group, stream)
                backend.put_log_events(group, stream, events)

    def stream(self, group: str, name: str) -> "Stream":
        """Open a stream in the region at work; create it if it does not exist."""
        where = region.current(self._home)
        with self._lock:
            self._open(where, group, name)
        folder = urllib.parse.quote(group, safe="") + ("" if where == self._home else f"@{where}")
        path = child(self._root, folder)
        path.mkdir(parents=True, exist_ok=True)
        file = child(path, f"{urllib.parse.quote(name, safe='')}.jsonl")
        return Stream(self, where, group, name, file)

    def put(self, where: str, group: str, stream: str, event: dict[str, Any]) -> None:
        """Add an event to moto's stream in a region."""
        with self._lock:
            self._open(where, group, stream).put_log_events(group, stream, [event])

    def _open(self, where: str, group: str, stream: str) -> Any:
        """Return moto's logs of a region, with the stream in them."""
        backend: Any = logs_backends[ACCOUNT][where]
        if group not in backend.groups:
            backend.create_log_group(group, {})
        if stream not in backend.groups[group].streams:
            backend.create_log_stream(group, stream)
        return backend


def stream_names(where: str, group: str) -> list[str] | None:
    """Return the names of all streams of a group in a region; None if there is no such group."""
    backends: Any = logs_backends[ACCOUNT]
    found = backends[where].groups.get(group) if where in backends else None
    return list(found.streams) if found else None


class Stream:
    """One log stream, open for writing."""

    def __init__(self, logs: Logs, where: str, group: str, name: str, file: Path) -> None:
        self._logs, self._where, self._group, self._name = logs, where, group, name
        self._file = file

    def write(self, line: str) -> None:
        """Add a line with the current time. CloudWatch refuses empty messages."""
        event = {"timestamp": int(time.time() * 1000), "message": line or " "}
        with open_private(self._file, "a") as file:
            file.write(json.dumps(event) + "\n")
        self._logs.put(self._where, self._group, self._name, event)

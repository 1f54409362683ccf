"""CloudWatch log streams: moto serves them; a file for each keeps them over a restart."""

import json
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

from moto.logs.models import logs_backends

from emulator.settings import ACCOUNT
from emulator.store.paths import child, open_private


class Logs:
    """All log groups of the emulator's region.

    Args:
        root: a folder; streams already in it are loaded into moto.
    """

    def __init__(self, root: Path, region: str) -> None:
        self._root = root
        self._backend: Any = logs_backends[ACCOUNT][region]
        self._lock = threading.Lock()
        for file in sorted(root.glob("*/*.jsonl")):
            group, stream = (urllib.parse.unquote(part) for part in (file.parent.name, file.stem))
            lines = file.read_text().splitlines()
            with self._lock:
                self._open(group, stream)
                self._backend.put_log_events(group, stream, [json.loads(line) for line in lines])

    def stream(self, group: str, name: str) -> "Stream":
        """Open a stream; create it if it does not exist."""
        with self._lock:
            self._open(group, name)
        folder = child(self._root, urllib.parse.quote(group, safe=""))
        folder.mkdir(parents=True, exist_ok=True)
        file = child(folder, f"{urllib.parse.quote(name, safe='')}.jsonl")
        return Stream(self, group, name, file)

    def put(self, group: str, stream: str, event: dict[str, Any]) -> None:
        """Add an event to moto's stream."""
        with self._lock:
            self._backend.put_log_events(group, stream, [event])

    def _open(self, group: str, stream: str) -> None:
        groups = self._backend.groups
        if group not in groups:
            self._backend.create_log_group(group, {})
        if stream not in groups[group].streams:
            self._backend.create_log_stream(group, stream)


class Stream:
    """One log stream, open for writing."""

    def __init__(self, logs: Logs, group: str, name: str, file: Path) -> None:
        self._logs, self._group, self._name = logs, group, name
        self._file = file

    def write(self, line: str) -> None:
        """Add a line with the current time. CloudWatch refuses empty messages."""
        event = {"timestamp": int(time.time() * 1000), "message": line or " "}
        with open_private(self._file, "a") as file:
            file.write(json.dumps(event) + "\n")
        self._logs.put(self._group, self._name, event)

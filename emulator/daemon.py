"""Runs, starts, finds and stops an emulator process. The state folder identifies it."""

import contextlib
import fcntl
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.settings import HOST, Settings
from emulator.store import contents
from emulator.store.json_files import write_json
from emulator.store.paths import open_private, private_folder

if TYPE_CHECKING:
    from emulator.listening import Server

_READY_S = 300.0
_STOP_S = 300.0


@dataclass(frozen=True)
class Info:
    """A running emulator."""

    pid: int
    url: str
    region: str
    engine: str
    access_key: str


def environment(url: str, region: str, access_key: str) -> dict[str, str]:
    """Return the variables that point clients to the emulator; the keys are not valid for AWS."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "emulator",
    }


def run(settings: Settings) -> int:
    """Serve in the foreground until SIGTERM or SIGINT."""
    # Imported here: the other verbs do not need them and start faster.
    from emulator.errors import JobError
    from emulator.listening import Server
    from emulator.server import Emulator

    if not _make_private(settings.state):
        return 1
    stop_requested = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_requested.set())
    with contextlib.ExitStack() as cleanup:
        if not cleanup.enter_context(_lock(settings.state, wait_s=1)):
            print(f"an emulator already runs on {settings.state}", file=sys.stderr)
            return 1
        try:
            emulator = Emulator(settings)
        except JobError as error:  # no Docker engine
            print(f"the {settings.engine} engine cannot be used: {error}", file=sys.stderr)
            return 1
        try:
            server = _listen(settings, functools.partial(Server, application=emulator))
        except OSError as error:
            emulator.close()
            print(f"cannot listen on port {settings.port}: {error}", file=sys.stderr)
            return 1
        url = f"http://{HOST}:{server.port}"
        cleanup.callback(server.close)
        cleanup.callback(emulator.close)  # ends what requests wait for
        cleanup.callback(server.refuse)
        emulator.listen_at(url)
        server.serve()
        info = Info(os.getpid(), url, settings.region, emulator.engine, settings.access_key)
        write_json(_pid_file(settings.state), asdict(info))
        cleanup.callback(_pid_file(settings.state).unlink, missing_ok=True)
        print(f"ready: {url}", flush=True)
        stop_requested.wait()
    return 0


def _listen(settings: Settings, server: "Callable[[int], Server]") -> "Server":
    """Return a server on the port in the settings; else on the last one, or on a free one.

    Raises:
        OSError: the port in the settings is taken.
    """
    last = settings.state / "port"
    found = None
    if not settings.port and last.exists() and (text := last.read_text()).isdecimal():
        with contextlib.suppress(OSError, OverflowError):  # somebody else has it now
            found = server(int(text))
    found = found or server(settings.port)
    with open_private(last, "w") as file:
        file.write(str(found.port))
    return found


def start(settings: Settings, words: Sequence[str]) -> int:
    """Start `run` in the background with the same options; print the variables for clients."""
    if found := find(settings.state):
        _show(found)
        return 0
    if not _make_private(settings.state):
        return 1
    log = settings.state / "emulator.log"
    with open_private(log, "ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "emulator", "run", *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        found = find(settings.state)
        if found and found.pid == process.pid:
            _show(found)
            return 0
        time.sleep(0.05)
    process.kill()
    print(f"the emulator did not start; the end of {log}:", file=sys.stderr)
    print("\n".join(log.read_text().splitlines()[-10:]), file=sys.stderr)
    return 1


def stop(state: Path) -> int:
    """Stop the emulator with its jobs and endpoints; the state folder remains."""
    pid = 0
    deadline = time.monotonic() + _STOP_S
    while _is_locked(state):  # also after `find` returns None: its jobs may still be ending
        if not pid and (found := find(state)):
            pid = found.pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            print(f"process {pid or '?'} has not ended after {_STOP_S:.0f} s", file=sys.stderr)
            return 1
        time.sleep(0.05)
    print("stopped" if pid else "not running")
    return 0


def status(state: Path) -> int:
    """Print the variables for clients; return 3 if it does not run, as service scripts do."""
    found = find(state)
    if not found:
        print("not running")
        return 3
    _show(found)
    parts = [f"{title} {contents.shown(size)}" for title, size in contents.sizes(state).items()]
    print(f"# on disk: {', '.join(parts) or 'nothing'}")
    return 0


def clean(state: Path, *, confirmed: bool) -> int:
    """Delete all data of an emulator that does not run; without `confirmed`, say how much it is."""
    if not (state / "lock").exists():
        print(f"{state} has no data of an emulator")
        return 0
    with _lock(state) as free:
        if not free:
            print("an emulator runs on this folder: stop it first", file=sys.stderr)
            return 1
        size = contents.shown(sum(contents.sizes(state).values()))
        if not confirmed:
            print(f"{state} has {size} of objects, models, records and logs: add --yes to delete")
            return 1
        contents.remove(state)
    print(f"deleted {size}")
    return 0


def find(state: Path) -> "Info | None":
    """Return the emulator that runs on this folder, or None."""
    if not _is_locked(state):
        return None
    try:
        return Info(**json.loads(_pid_file(state).read_text()))
    except FileNotFoundError:  # it is starting or ending
        return None


def _is_locked(state: Path) -> bool:
    """Whether an emulator starts, runs or ends on this folder."""
    if not (state / "lock").exists():
        return False
    with _lock(state) as free:
        return not free


def _make_private(state: Path) -> bool:
    try:
        private_folder(state)
    except OSError as error:
        print(f"cannot use the state folder: {error}", file=sys.stderr)
        return False
    return True


def _show(found: Info) -> None:
    print(f"# engine: {found.engine}; process {found.pid}")
    for name, value in environment(found.url, found.region, found.access_key).items():
        print(f"export {name}={value}")


@contextlib.contextmanager
def _lock(state: Path, wait_s: float = 0) -> Iterator[bool]:
    """Hold the folder's lock; yield False if another process has it.

    The kernel frees the lock when its process ends, in whatever way. `wait_s` is how long to wait
    for the lock: `_is_locked` holds it for a moment, too.
    """
    deadline = time.monotonic() + wait_s
    with open_private(state / "lock", "a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                yield False
            else:
                yield True
            return


def _pid_file(state: Path) -> Path:
    return state / "emulator.json"

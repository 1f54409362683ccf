"""An emulator as a process of its own: started, found again by its state folder, and stopped."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from emulator.settings import HOST, Settings
from emulator.store.json_files import write_json

_READY_S = 300.0
_STOP_S = 300.0


@dataclass(frozen=True)
class Found:
    """A running emulator."""

    pid: int
    url: str
    region: str
    engine: str


def environment(url: str, region: str) -> dict[str, str]:
    """Return what a client needs to reach the emulator, and never AWS."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
    }


def run(settings: Settings) -> int:
    """Serve in the foreground until SIGTERM or SIGINT."""
    # Late: the other verbs are quick.
    from emulator.errors import JobError
    from emulator.server import Emulator, listen, serve

    settings.state.mkdir(parents=True, exist_ok=True)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with contextlib.ExitStack() as ending:
        if not ending.enter_context(_only_one(settings.state, patience=1)):
            print(f"an emulator already runs on {settings.state}", file=sys.stderr)
            return 1
        try:
            emulator = Emulator(settings)
        except JobError as error:  # no Docker engine
            print(f"the {settings.engine} engine cannot be used: {error}", file=sys.stderr)
            return 1
        ending.callback(emulator.close)
        try:
            server = listen(settings, emulator)
        except (OSError, SystemExit) as error:  # werkzeug exits where the port is taken
            print(f"cannot listen on port {settings.port}: {error}", file=sys.stderr)
            return 1
        url = f"http://{HOST}:{server.port}"
        ending.callback(server.server_close)  # who asks from then on is refused at once
        serve(server)
        ending.callback(server.shutdown)
        said = Found(os.getpid(), url, settings.region, emulator.engine)
        write_json(_pid_file(settings.state), asdict(said))
        ending.callback(_pid_file(settings.state).unlink, missing_ok=True)
        print(f"ready: {url}", flush=True)
        ended.wait()
    return 0


def start(settings: Settings, words: Sequence[str]) -> int:
    """Start `run` in the background with the same options, and print how to reach it."""
    if found := running(settings.state):
        _show(found)
        return 0
    settings.state.mkdir(parents=True, exist_ok=True)
    log = settings.state / "emulator.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "emulator", "run", *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        found = running(settings.state)
        if found and found.pid == process.pid:
            _show(found)
            return 0
        time.sleep(0.05)
    process.kill()
    print(f"the emulator did not start; the end of {log}:", file=sys.stderr)
    print("\n".join(log.read_text().splitlines()[-10:]), file=sys.stderr)
    return 1


def stop(state: Path) -> int:
    """End the emulator and all that it runs; what it holds is kept."""
    told = 0
    deadline = time.monotonic() + _STOP_S
    while _held(state):  # until its jobs have ended too, which they do after it is found no more
        if not told and (found := running(state)):
            told = found.pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(told, signal.SIGTERM)
        if time.monotonic() > deadline:
            print(f"process {told or '?'} has not ended after {_STOP_S:.0f} s", file=sys.stderr)
            return 1
        time.sleep(0.05)
    print("stopped" if told else "not running")
    return 0


def status(state: Path) -> int:
    """Print where it can be reached; return 3, as services do, when it does not run."""
    found = running(state)
    if not found:
        print("not running")
        return 3
    _show(found)
    return 0


def running(state: Path) -> "Found | None":
    """Return what the emulator on this folder has said of itself, or None if none runs."""
    if not _held(state):
        return None
    try:
        return Found(**json.loads(_pid_file(state).read_text()))
    except FileNotFoundError:  # it has only just begun, or is about to end
        return None


def _held(state: Path) -> bool:
    """Whether one runs on this folder, begins or is about to end."""
    if not (state / "lock").exists():
        return False
    with _only_one(state) as free:
        return not free


def _show(found: Found) -> None:
    print(f"# engine: {found.engine}; process {found.pid}")
    for name, value in environment(found.url, found.region).items():
        print(f"export {name}={value}")


@contextlib.contextmanager
def _only_one(state: Path, patience: float = 0) -> Iterator[bool]:
    """Hold the folder's lock, which the kernel frees when its holder ends, however it ends.

    `patience`, in seconds, is for those who only look: they hold it too, for a moment.
    """
    deadline = time.monotonic() + patience
    with (state / "lock").open("a") as file:
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

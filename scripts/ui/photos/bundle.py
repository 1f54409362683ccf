"""A bundle on this machine: a process of its own loads it and answers photos (serve/local.py)."""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.console.safe import without_escapes
from scripts.photos.invoking import Answer
from scripts.problem import Problem

# Seconds until a bundle is loaded, and until a photo is answered.
_LOADING_S = 180.0
_ANSWER_S = 120.0
_lock = threading.Lock()
_running: dict[Path, "_Process"] = {}


def answers(bundle: Path, photos: Sequence[Path], *, explain: bool) -> Iterator[Answer]:
    """Yield the bundle's answers, in the order of the photos.

    Raises:
        Problem: the bundle cannot be loaded, or its process ends.
    """
    for photo in photos:
        with _lock:  # one question at a time
            process = _opened(bundle)
            found = process.ask({"photo": str(photo.absolute()), "explain": explain}, _ANSWER_S)
        yield Answer(
            photo,
            found.get("body"),
            without_escapes(str(found.get("error", ""))),
            milliseconds=found.get("milliseconds"),
        )


def engine(bundle: Path) -> str:
    """Return what computes the bundle's answers, such as `openvino in fp32 on cpu`.

    Raises:
        Problem: the bundle cannot be loaded.
    """
    with _lock:
        return without_escapes(str(_opened(bundle).about["engine"]))


def close() -> None:
    """End the process, if there is one."""
    with _lock:
        _close()


def _close() -> None:
    while _running:
        _running.popitem()[1].end()


def _opened(bundle: Path) -> "_Process":
    """Return the process of a bundle; only one bundle is loaded at a time."""
    bundle = bundle.expanduser().absolute()
    if bundle in _running and _running[bundle].alive:
        return _running[bundle]
    _close()
    if not bundle.exists():
        raise Problem(f"{bundle}: no such file or folder: give a bundle's folder or model.tar.gz")
    process = _Process(bundle)
    _running[bundle] = process
    return process


class _Process:
    """A process that has loaded a bundle; it ends when this process ends."""

    def __init__(self, bundle: Path) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "serve.local", str(bundle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )
        first = self._read(_LOADING_S, f"{bundle}: loading it")
        if "ready" not in first:
            self.end()
            raise Problem(f"{bundle}: {first.get('error', 'it cannot be loaded')}")
        self.about: dict[str, Any] = first["ready"]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Return the answer to a request."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # the reason is read below
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._read(seconds, "the answer")

    def _read(self, seconds: float, what: str) -> dict[str, Any]:
        assert self._process.stdout
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._process.wait()
        if late.is_set():
            raise Problem(f"{what} took more than {seconds:.0f} seconds: the process was ended")
        self._log.seek(0)
        last = "\n".join(self._log.read()[-100_000:].splitlines()[-3:])
        raise Problem(f"the process of the bundle ended ({self._process.returncode}): {last}")

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

"""A process that can be stopped at any time, even inside a C library: for costly work."""

import contextlib
import json
import logging
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from pictures.text import printable
from serve.errors import RequestError
from serve.front import processes

log = logging.getLogger(__name__)

_FAILED = "decoding failed"
_NICE = 10  # workers go first
_PATIENCE, _LONGEST_S = 5, 50
_MOST_REPORT = 2**16


def run(work: Callable[[], None], *, seconds: int, memory: int) -> None:
    """Run `work` in a fork of this process, which must have one thread.

    Args:
        work: leaves its result in a file.
        seconds: of processor time, after which the process is killed; or after five times as many
            by the clock, since a busy machine is not the picture's fault.
        memory: bytes that it can use in addition.

    Raises:
        RequestError: what `work` raised; 422 for too much time or memory; 400 if it crashed.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _work(work, writer, seconds, memory)
    os.close(writer)
    try:
        report = _read_all(reader, time.monotonic() + min(_PATIENCE * seconds, _LONGEST_S))
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if report is None or ended_by == signal.SIGXCPU:
        raise RequestError(
            422,
            f"decoding takes over {seconds} seconds",
            "send smaller or fewer pictures, or raise KENNEL_DECODE_SECONDS",
        )
    if report == b"":
        # The process ended by itself, without a word.
        if ended_by is not None and ended_by != signal.SIGKILL:
            raise RequestError(
                400,
                f"decoding crashed ({signal.Signals(ended_by).name})",
                "the picture is damaged: save it again with another program",
            )
        raise _too_large()
    if (fields := json.loads(report)) is None:
        return
    error = RequestError(*fields)
    if error.message == _FAILED:
        log.error("a costly request failed: %s", error.hint)
        error = RequestError(500, _FAILED, "find its request id in the log")
    raise error


def _too_large() -> RequestError:
    return RequestError(
        422, "there is not enough memory to decode this", "send smaller or fewer pictures"
    )


def _work(work: Callable[[], None], writer: int, seconds: int, memory: int) -> None:
    """Work with limits, write the error or null into the pipe, and end. Never returns."""
    error: RequestError | None = None
    try:
        processes.end_with_parent()
        # Decoders write about damaged files, in the words of the files.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        # When the machine has no memory left, this process goes and not a worker.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        os.nice(_NICE)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        work()
    except RequestError as refusal:
        error = refusal
    except MemoryError:
        error = _too_large()
    except Exception as failure:
        error = RequestError(500, _FAILED, printable(repr(failure)))
    with contextlib.suppress(BaseException):
        fields = None if error is None else [error.code, error.message[:2000], error.hint[:2000]]
        os.write(writer, json.dumps(fields).encode()[:_MOST_REPORT])
    os._exit(0)


def _read_all(reader: int, deadline: float) -> bytes | None:
    """Return what comes until the other end closes; None at the deadline."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    found = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        piece = os.read(reader, _MOST_REPORT)
        if not piece:
            return found
        found += piece

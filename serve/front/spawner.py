"""The spawner forks the worker processes: large modules are imported once, while Java starts.

Java takes seconds to start, and so does importing an engine such as torch, which workers would
otherwise do one after the other. The spawner imports it while Java starts, computes nothing, and
forks. When Java runs
its Python script (serve/front/backend/mms/model_service_worker.py), the script passes its arguments
and streams to the spawner, and multi-model-server's own script runs in a fork of it. If no spawner
answers, the script runs as usual.
"""

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from serve.front import processes

SOCKET_VARIABLE = "KENNEL_SPAWNER"
LAUNCHER_VARIABLE = "KENNEL_LAUNCHER"  # the process that Java started
# Imports all large modules. None of them starts a thread or uses a GPU at import.
_PRELOADED = "serve.preloaded"
_MAX_BYTES = 1 << 20
_TIMEOUT_S = 20  # Java waits two minutes for its script
# A script that ends sooner than this, several times in a row, does not work.
_MIN_LIFETIME_S = 1.0
_MAX_SHORT_LIVES = 5


def run_in_spawner(arguments: list[str]) -> int:
    """Run the worker script in the spawner, again if it dies, until Java ends this process.

    Workers survive the death of the process that forked them, and Java keeps using them. So a new
    one can take its place unnoticed.
    """
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
    short_lives = 0
    while short_lives < _MAX_SHORT_LIVES:
        begun = time.monotonic()
        try:
            spawner, pid = _request_fork(arguments)
        except (OSError, KeyError, ValueError):
            return _run_here(arguments)
        # The forked process ends when this end of the connection closes.
        with (
            spawner,
            contextlib.suppress(ProcessLookupError),
            os.fdopen(os.pidfd_open(pid)) as process,
        ):
            watched = select.poll()
            watched.register(process, select.POLLIN)
            watched.register(0, 0)  # Java's end of the input closes when Java dies
            if any(number == 0 for number, _ in watched.poll()):
                return 1
        lived_s = time.monotonic() - begun
        short_lives = short_lives + 1 if lived_s < _MIN_LIFETIME_S else 0
        Path(arguments[arguments.index("--sock-name") + 1]).unlink(missing_ok=True)
    return 1


def _request_fork(arguments: list[str]) -> tuple[socket.socket, int]:
    """Return the connection, which keeps the forked process alive, and the process's number."""
    request = {"arguments": arguments, "environment": dict(os.environ), "cwd": str(Path.cwd())}
    spawner = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    spawner.settimeout(_TIMEOUT_S)
    try:
        spawner.connect(os.environ[SOCKET_VARIABLE])
        socket.send_fds(spawner, [json.dumps(request).encode()], [1, 2])
        return spawner, int(spawner.recv(64))
    except BaseException:
        spawner.close()
        raise


def _run_here(arguments: list[str]) -> int:
    """Run the model server's own script in this process, which imports everything itself."""
    processes.set_process_name("kennel-parent")
    _run_script(arguments)
    return 1


def _run_script(arguments: list[str]) -> None:
    import mms

    script = str(Path(mms.__path__[0]) / "model_service_worker.py")
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def main(path: str) -> None:
    """Import, listen on a unix socket, and fork for each request."""
    processes.set_process_name("kennel-spawner")
    __import__(_PRELOADED)
    gc.collect()
    gc.freeze()  # the collector does not write to shared pages, so they remain shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{path}.new")
    listener.listen()
    Path(f"{path}.new").rename(path)  # once the path exists, connecting works
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError, ValueError):
            request, streams, _, _ = socket.recv_fds(connection, _MAX_BYTES, 2)
            if not _has_hung_up(connection):
                pid = os.fork()
                if pid == 0:
                    listener.close()
                    _run_forked(json.loads(request), streams, connection)
                connection.send(str(pid).encode())
            for stream in streams:
                os.close(stream)


def _has_hung_up(connection: socket.socket) -> bool:
    """Return whether the other end has stopped waiting."""
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))


def _run_forked(request: dict[str, Any], streams: list[int], connection: socket.socket) -> NoReturn:
    """Take over the streams, environment and arguments of the process that Java started."""
    status = 1
    try:
        processes.set_process_name("kennel-parent")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        threading.Thread(target=_exit_with, args=(connection,), daemon=True).start()
        _run_script(request["arguments"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _exit_with(connection: socket.socket) -> None:
    """Exit when the other end closes: the process that Java started has ended."""
    connection.recv(1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])

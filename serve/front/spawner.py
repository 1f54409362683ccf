"""Where worker processes come from: torch is imported while Java starts, once for all of them.

Java takes seconds to start, and so does importing torch, which workers would otherwise do one after
the other. The spawner imports torch while Java starts, computes nothing, and forks. When Java runs
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
# Everything that is large, and nothing that starts threads or touches a GPU at import.
_LARGE = ("serve.handler",)
_MOST_BYTES = 1 << 20
_PATIENCE_S = 20  # Java waits two minutes for its script
# A script that ends sooner than that, and so many times in a row, does not work.
_TOO_SOON_S = 1.0
_MOST_TOO_SOON = 5


def hand_over(arguments: list[str]) -> int:
    """Have the spawner run the worker script, anew where it dies, until Java ends this process.

    Workers outlive the process that forked them, and Java goes on with them: nobody notices.
    """
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
    too_soon = 0
    while too_soon < _MOST_TOO_SOON:
        begun = time.monotonic()
        try:
            spawner, pid = _ask(arguments)
        except (OSError, KeyError, ValueError):
            return _run_here(arguments)
        # The process ends when this end of the connection does.
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
        too_soon = too_soon + 1 if time.monotonic() - begun < _TOO_SOON_S else 0
        Path(arguments[arguments.index("--sock-name") + 1]).unlink(missing_ok=True)
    return 1


def _ask(arguments: list[str]) -> tuple[socket.socket, int]:
    """Return the connection, which holds the process, and the process's number."""
    request = {"arguments": arguments, "environment": dict(os.environ), "cwd": str(Path.cwd())}
    spawner = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    spawner.settimeout(_PATIENCE_S)
    try:
        spawner.connect(os.environ[SOCKET_VARIABLE])
        socket.send_fds(spawner, [json.dumps(request).encode()], [1, 2])
        return spawner, int(spawner.recv(64))
    except BaseException:
        spawner.close()
        raise


def _script() -> str:
    import mms

    return str(Path(mms.__path__[0]) / "model_service_worker.py")


def _run_here(arguments: list[str]) -> int:
    """Run the model server's own script in this process, which imports everything itself."""
    processes.name_this("kennel-parent")
    _run_script(arguments)
    return 1


def _run_script(arguments: list[str]) -> None:
    script = _script()
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def main(path: str) -> None:
    """Import, listen on a unix socket, and fork for each request."""
    processes.name_this("kennel-spawner")
    for name in _LARGE:
        __import__(name)
    gc.collect()
    gc.freeze()  # what is shared stays so: no collection writes to it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{path}.new")
    listener.listen()
    Path(f"{path}.new").rename(path)  # who sees it can connect
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError, ValueError):
            request, streams, _, _ = socket.recv_fds(connection, _MOST_BYTES, 2)
            if not _gone(connection):
                pid = os.fork()
                if pid == 0:
                    listener.close()
                    _run(json.loads(request), streams, connection)
                connection.send(str(pid).encode())
            for stream in streams:
                os.close(stream)


def _gone(connection: socket.socket) -> bool:
    """Say whether whoever asked has stopped waiting."""
    look = select.poll()
    look.register(connection, 0)
    return bool(look.poll(0))


def _run(request: dict[str, Any], streams: list[int], held_by: socket.socket) -> NoReturn:
    """Be the process that Java started."""
    status = 1
    try:
        processes.name_this("kennel-parent")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        threading.Thread(target=_end_with, args=(held_by,), daemon=True).start()
        _run_script(request["arguments"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _end_with(held_by: socket.socket) -> None:
    held_by.recv(1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])

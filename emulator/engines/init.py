"""Process 1 of a container that is none: runs one command, and leaves nothing of it behind.

Ends as the command ends (128 + the number of a signal), hands SIGTERM on, and kills everything
below it when the command ends or when the emulator does: its end of our standard input then closes.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil

# Run by file name, so that the command's folder and PYTHONPATH need not lead to the emulator.
sys.path[0] = str(Path(__file__).parents[2])
from emulator.engines import namespaces  # noqa: E402

CANNOT_START = 125  # as docker says it
_CONTAINER_PORT = 8080


def main() -> int:
    """Run what the JSON in the first argument says, and return its exit code."""
    plan = json.loads(sys.argv[1])
    namespaces.adopt_orphans()
    waker, woken = socket.socketpair()
    waker.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        door = _arrange(plan)
        child = subprocess.Popen(
            plan["command"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=namespaces.die_with_parent,
        )
    except OSError as error:
        print(f"cannot start {plan['command'][0]}: {error}", flush=True)
        return CANNOT_START
    if door:
        threading.Thread(target=_relay, args=(door,), daemon=True).start()
    with selectors.DefaultSelector() as events:
        events.register(sys.stdin, selectors.EVENT_READ)
        events.register(woken, selectors.EVENT_READ)
        code = None
        while code is None:
            ready = [key.fileobj for key, _ in events.select()]
            if sys.stdin in ready and not os.read(sys.stdin.fileno(), 1):
                child.kill()  # the emulator is gone
                child.wait()
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)
            while told:
                child.send_signal(told.pop())
            code = child.poll()
            _reap(child.pid)
    _end_all()
    return 128 - code if code < 0 else code


def _arrange(plan: dict[str, Any]) -> socket.socket | None:
    """Enter the namespaces; return the socket on the machine's loopback to relay from, if any."""
    door = None
    if plan["port"]:
        # Made before the network is left: a socket stays in the one in which it was made.
        door = socket.create_server(("127.0.0.1", plan["port"]), backlog=1024)
    if plan["join"]:
        namespaces.join_network(plan["join"])
    elif plan["isolated"]:
        namespaces.own_network()
    if plan["hosts"]:
        namespaces.own_names(plan["hostname"], plan["hosts"], Path(plan["hosts_file"]))
    return door


def _relay(door: socket.socket) -> None:
    """Hand each connection on to the container's port."""
    while True:
        outside, _ = door.accept()
        try:
            inside = socket.create_connection(("127.0.0.1", _CONTAINER_PORT))
        except OSError:  # not listening yet: seen outside as a closed connection
            outside.close()
            continue
        for source, sink in ((outside, inside), (inside, outside)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _reap(main: int) -> None:
    """Bury adopted processes that have ended."""
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if process.pid != main and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def _end_all() -> None:
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for process in psutil.Process().children():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, 0)


if __name__ == "__main__":
    sys.exit(main())

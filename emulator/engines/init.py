"""Stands in for a container's PID 1: runs one command and leaves no process behind.

It forwards SIGTERM and exits with the command's exit code (128 + the number of a signal). When the
command ends, it kills all descendants. It does so, too, when the emulator ends: stdin then closes.
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

# Started by file name: neither the working folder nor PYTHONPATH has to contain the emulator.
sys.path[0] = str(Path(__file__).parents[2])
from emulator.engines import namespaces  # noqa: E402
from emulator.engines.container import OPT_ML  # noqa: E402

CANNOT_START = 125  # docker's exit code for it
_CONTAINER_PORT = 8080


def main() -> int:
    """Run the plan in the first line of stdin (JSON) and return the command's exit code."""
    plan = _read_plan()
    namespaces.adopt_orphans()
    # A signal writes to this pair, so that select() below returns.
    wake_writer, wake_reader = socket.socketpair()
    wake_writer.setblocking(False)
    wake_reader.setblocking(False)
    signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    try:
        listener = _enter_namespaces(plan)
        child = subprocess.Popen(
            plan["command"],
            env=plan["env"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=namespaces.die_with_parent,
        )
    except OSError as error:
        print(f"cannot start {plan['command'][0]}: {error}", flush=True)
        return CANNOT_START
    if listener:
        threading.Thread(target=_relay, args=(listener,), daemon=True).start()
    with selectors.DefaultSelector() as events:
        events.register(sys.stdin, selectors.EVENT_READ)
        events.register(wake_reader, selectors.EVENT_READ)
        code = None
        while code is None:
            ready = [key.fileobj for key, _ in events.select()]
            if sys.stdin in ready and not os.read(sys.stdin.fileno(), 1):
                child.kill()  # the emulator has ended
                child.wait()
            with contextlib.suppress(BlockingIOError):
                wake_reader.recv(4096)
            while signals:
                child.send_signal(signals.pop())
            code = child.poll()
            _reap(child.pid)
    _kill_descendants()
    return 128 - code if code < 0 else code


def _read_plan() -> dict[str, Any]:
    """Return the plan. Not an argument: every user of the machine can read arguments.

    The command's variables are in it, and not in the environment of this process, where some of
    them (PYTHONPATH, LD_PRELOAD) would change this program.
    """
    line = b""
    while not line.endswith(b"\n") and (piece := os.read(sys.stdin.fileno(), 65_536)):
        line += piece
    plan: dict[str, Any] = json.loads(line)
    return plan


def _enter_namespaces(plan: dict[str, Any]) -> socket.socket | None:
    """Enter the namespaces; return the socket on the machine's loopback to relay, if any."""
    listener = None
    if plan["port"]:
        # Before leaving the machine's network: a socket stays in the network it was created in.
        listener = socket.create_server(("127.0.0.1", plan["port"]), backlog=1024)
    if plan["join"]:
        namespaces.join_network(plan["join"])
    elif plan["isolated"]:
        namespaces.own_network()
    if plan["opt_ml"]:
        namespaces.own_folder(Path(plan["opt_ml"]), OPT_ML)
    if plan["hosts"]:
        namespaces.own_names(plan["hostname"], plan["hosts"], Path(plan["hosts_file"]))
    return listener


def _relay(listener: socket.socket) -> None:
    """Forward each connection to the container's port."""
    while True:
        outside, _ = listener.accept()
        try:
            inside = socket.create_connection(("127.0.0.1", _CONTAINER_PORT))
        except OSError:  # not listening yet: close the connection, so the client sees that
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
    """Collect the exit codes of adopted processes, so that no zombies remain."""
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if process.pid != main and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def _kill_descendants() -> None:
    while descendants := psutil.Process().children(recursive=True):
        for process in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for process in psutil.Process().children():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, 0)


if __name__ == "__main__":
    sys.exit(main())

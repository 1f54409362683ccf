"""Starting and ending the server's processes so that nothing outlives the supervisor.

Linux only: the kernel gives orphans to us, and ends our children when we die.
"""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

from pictures.text import printable

# Source: prctl(2) and <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LONGEST_LINE = 2**16
_COPY_S = 2
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, as PID 1 is in a container."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    user: int | None = None,
    on_our_death: signal.Signals = signal.SIGKILL,
) -> "subprocess.Popen[bytes]":
    """Start a child in a session of its own; the kernel ends it when this process dies.

    What it writes goes to our stderr line by line, without control characters: nginx, for one, logs
    the path of a refused request as it came.

    In its own session it does not get a terminal's Ctrl-C, so that only we stop it. Call this from
    the main thread: the kernel acts when the thread that started the child ends.

    Args:
        command: with its arguments.
        cwd: where to run it.
        environment: all of it.
        user: to run as, with the group of the same number; None keeps ours.
        on_our_death: the signal that the kernel sends it when this process dies. SIGKILL does not
            reach the child's own children: choose another where these do not end by themselves.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=functools.partial(_libc.prctl, _PR_SET_PDEATHSIG, on_our_death, 0, 0, 0),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    assert process.stdout is not None
    copier = threading.Thread(target=_copy, args=(process.stdout,), daemon=True)
    copier.start()
    _copiers.append(copier)
    return process


_copiers: list[threading.Thread] = []


def _copy(output: IO[bytes]) -> None:
    """Write lines to our stderr until the last process with this output has ended."""
    with output:
        while line := output.readline(_LONGEST_LINE):
            text = line.decode("utf-8", "surrogateescape").rstrip("\n")
            clean = "\t".join(printable(part) for part in text.split("\t"))
            with contextlib.suppress(OSError):
                os.write(2, f"{clean}\n".encode("utf-8", "backslashreplace"))


def finish_logs() -> None:
    """Wait until everything that ended processes wrote is in the log."""
    for copier in _copiers:
        copier.join(_COPY_S)


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def set_process_name(name: str) -> None:
    """Set the name of this process in `ps` and `top`, up to 15 letters."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def signal_session(leader: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to a child and all processes of its session, if they still run."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, number)


def kill_descendants() -> None:
    """Kill every descendant; call this when no request is open any more."""
    import psutil  # imported late: only the end needs it, and the start must be quick

    ourselves = psutil.Process()
    while descendants := ourselves.children(recursive=True):
        for process in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        # One at a time: orphans come to us only when their parent has died.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def reap_orphans(own: Collection[int]) -> None:
    """Collect the exits of adopted processes; `Popen` collects those in `own`."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        os.waitpid(ended.si_pid, 0)


def describe_exit(returncode: int) -> str:
    """Return `exited with 3` or `was killed by SIGKILL`."""
    if returncode >= 0:
        return f"exited with {returncode}"
    return f"was killed by {signal.Signals(-returncode).name}"


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory, 0 if it has ended.

    Source: proc(5), /proc/PID/statm.
    """
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")

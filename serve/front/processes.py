"""Starting and ending the server's parts so that nothing outlives the supervisor.

Linux only: the kernel is asked to hand orphans to us, and to end our children when we die.
"""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

# Source: prctl(2) and <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
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
    after_us: signal.Signals = signal.SIGKILL,
) -> "subprocess.Popen[bytes]":
    """Start a part in a session of its own, tied to this process's life.

    Its own session keeps a terminal's Ctrl-C away from it, so that stopping stays in our hands.
    Call it from the main thread: the tie is to the thread that makes the child.

    Args:
        command: with its arguments.
        cwd: where to run it.
        environment: all of it.
        user: to run as, with the group of the same number; None is who we are.
        after_us: what the kernel sends it when this process dies. SIGKILL leaves the children of
            a part alone, so one whose children do not end by themselves has to be told otherwise.
    """
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=functools.partial(_libc.prctl, _PR_SET_PDEATHSIG, after_us, 0, 0, 0),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )


def name_this(name: str) -> None:
    """Name this process, up to 15 letters, for whoever looks at the list of them."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def signal_session(part: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to a part and all that it started; they may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(part.pid, number)


def end_all() -> None:
    """Kill every descendant. Nothing is left to save once the front door is closed."""
    import psutil  # here, because only the end needs it and the start should be quick

    ourselves = psutil.Process()
    while left := ourselves.children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        # One by one: those whose parent is dying come to us only then.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def reap_orphans(own: Collection[int]) -> None:
    """Collect the exits of adopted processes; those in `own` are left to their `Popen`."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        os.waitpid(ended.si_pid, 0)


def how_it_ended(returncode: int) -> str:
    """Return `exited with 3` or `was killed by SIGKILL`."""
    if returncode >= 0:
        return f"exited with {returncode}"
    return f"was killed by {signal.Signals(-returncode).name}"


def memory(pid: int) -> int:
    """Return a process's resident bytes, 0 where it is gone.

    Source: proc(5), /proc/PID/statm.
    """
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")

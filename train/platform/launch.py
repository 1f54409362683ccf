"""The processes of this host in a job with several: torchrun's library, and messages between hosts.

`python -m train.platform.launch --processes 8 --hosts algo-1,algo-2 --host algo-2 --failure FILE`
is started by train/entry.py. Its exit code is 0 when all hosts have finished. Otherwise the failure
file of every host holds the first cause.
"""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from train.platform import exits
from train.platform.hosts import Hosts

PORT = 7777
GRACE = 10  # seconds that the other processes have to end after one failed
STOPPED = "stopped by SIGTERM before training began"


def main() -> int:
    """Run this host's processes and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--hosts", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--address", default="localhost")
    parser.add_argument("--failure", type=Path, required=True)
    given = parser.parse_args()
    names = given.hosts.split(",")
    port = int(os.environ.get("MASTER_PORT", PORT))
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // given.processes)))
    hosts = None
    if len(names) > 1:
        hosts = Hosts(names, given.host, given.address, port + 1, _kill)
    config = configure(given.processes, names, given.host, given.address, port)
    code, cause, first = _run(config, given)
    if hosts:
        cause = hosts.fail(cause, first=first) if code else hosts.done()
    if cause == STOPPED:
        return 128 + signal.SIGTERM
    if cause:
        code = 1
        with contextlib.suppress(OSError):
            given.failure.write_text(cause)
    return code


def configure(processes: int, hosts: list[str], host: str, address: str, port: int) -> LaunchConfig:
    """Return torchrun's configuration."""
    alone = len(hosts) == 1
    return LaunchConfig(
        min_nodes=len(hosts),
        max_nodes=len(hosts),
        nproc_per_node=processes,
        run_id="kennel",
        rdzv_backend="c10d" if alone else "static",
        rdzv_endpoint="localhost:0" if alone else f"{address}:{port}",
        rdzv_configs={} if alone else {"rank": hosts.index(host), "timeout": 900},
        local_addr="localhost" if alone else None,
        max_restarts=0,
        shutdown_timeout=GRACE,
    )


def _run(config: LaunchConfig, given: argparse.Namespace) -> tuple[int, str, bool]:
    """Run the processes; return the exit code, the cause if it is not 0, and if it began here."""
    try:
        elastic_launch(config, sys.executable)("-m", exits.JOB)
    except SignalException:
        return 1, STOPPED, True
    except ChildFailedError as failed:
        ends = {rank: one.exitcode for rank, one in failed.failures.items()}
        written = _written(given.failure)
        if set(ends.values()) == {-signal.SIGTERM} and not written:
            return 1, STOPPED, True
        first = bool(written) or min(ends.values()) < 0
        return 1, explain(ends, given.host, written), first
    except Exception as error:  # from the rendezvous: whatever the hosts' sockets raise
        return 1, f"{type(error).__name__}: the hosts could not connect: {error}", False
    return 0, "", False


def explain(ends: dict[int, int], host: str, written: str) -> str:
    """Return why the processes of a host ended.

    Args:
        ends: exit codes by rank.
        host: its name.
        written: the failure file of the process that failed first; empty if there is none.
    """
    if written:
        return written
    for rank, code in ends.items():
        killed = exits.signal_of(code) if code < 0 else None
        if killed:
            reason = exits.explain_signal(killed)
            return f"ProcessKilled: process {rank} on {host} was killed ({reason})"
    codes = ", ".join(f"process {rank} with {code}" for rank, code in ends.items())
    return (
        f"ProcessFailed: processes on {host} ended because another process was lost: {codes}; "
        "see the log above"
    )


def _written(failure: Path) -> str:
    with contextlib.suppress(OSError):
        return failure.read_text(errors="replace").strip()
    return ""


def _kill() -> None:
    """Kill this host's processes: they can wait for a process that is gone."""
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if exits.JOB in process.cmdline():
                process.kill()


if __name__ == "__main__":
    sys.exit(main())

"""What the image's `train` runs: SageMaker's training contract, on sagemaker-training.

The toolkit calls `main`. It starts train.job, through train.platform.launch if there are several
GPUs or hosts, or the user's own script if the job names one. It forwards SIGTERM and turns a
failure into its reason. Everything that the platform sees of us is here.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from train.platform import exits, script
from train.platform.log import log
from train.recording.system import note_start

PROCESSES = "KENNEL_PROCESSES"  # training processes on each host; one by default on CPUs


def main() -> None:
    """Run the job of this host; called by sagemaker-training's `train`.

    Raises:
        sagemaker_training.errors.ClientError: the reason, which the toolkit writes to the failure
            file before it exits with 1.
    """
    from sagemaker_training import environment, errors

    note_start()
    env = environment.Environment()
    stopped = _forward_sigterm()
    if env.user_entry_point:
        name_interface(env)
        script.run(env)
        return
    script.check_launcher(env)
    environment.write_env_vars(env.to_env_vars())
    failure = Path(env.output_dir) / "failure"
    failure.unlink(missing_ok=True)
    code = subprocess.Popen(command(env)).wait()
    if stopped and (code < 0 or code == 128 + signal.SIGTERM):
        # The signal came before train.job could handle it: there is nothing to save yet.
        log("stopped before training began")
    elif code:
        raise errors.ClientError(reason(code, failure))


def command(env: Any) -> list[str]:
    """Return the command that starts train.job on this host.

    Args:
        env: sagemaker_training.environment.Environment.
    """
    processes = process_count(env)
    if processes == 1 and len(env.hosts) == 1:
        return [sys.executable, "-m", exits.JOB]
    name_interface(env)
    return [
        *(sys.executable, "-m", "train.platform.launch", "--processes", str(processes)),
        *("--hosts", ",".join(env.hosts), "--host", env.current_host),
        *("--address", env.master_hostname),
        *("--failure", str(Path(env.output_dir) / "failure")),
    ]


def name_interface(env: Any) -> None:
    """Tell NCCL and gloo the network between the hosts: a host has others, such as Docker's."""
    for library in ("NCCL", "GLOO"):
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", str(env.network_interface_name))


def process_count(env: Any) -> int:
    """Return the number of training processes on this host: one for each GPU, or PROCESSES.

    Raises:
        sagemaker_training.errors.ClientError: PROCESSES is not a possible number.
    """
    from sagemaker_training import errors

    gpus = int(env.num_gpus)
    given = os.environ.get(PROCESSES, "") or str(max(1, gpus))
    if not given.isdecimal() or not 1 <= int(given) <= (gpus or 64):
        raise errors.ClientError(
            f"ConfigError: the environment variable {PROCESSES} is {given!r}: give the number of "
            f"training processes on each host, at most {gpus or 64}"
        )
    return int(given)


def reason(code: int, failure: Path) -> str:
    """Return why train.job ended with `code`: what it wrote, else what its exit code means."""
    if failure.is_file() and (text := failure.read_text(errors="replace").strip()):
        return text
    killed = exits.signal_of(code)
    if killed:
        return f"training was killed ({exits.explain_signal(killed)})"
    return f"training ended with exit code {code} and wrote no reason; see the log above"


def _forward_sigterm() -> list[int]:
    """Forward SIGTERM to the training processes; return a list that is filled when it comes.

    Process 1 of a container would otherwise ignore it. torchrun would fail on it, so the signal
    goes to the processes that torchrun started and not to torchrun.
    """
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        received.append(number)
        descendants = psutil.Process().children(recursive=True)
        ranks = [process for process in descendants if _is_rank(process)]
        for process in ranks or psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended just now
                process.send_signal(number)

    signal.signal(signal.SIGTERM, forward)
    return received


def _is_rank(process: psutil.Process) -> bool:
    """Whether a process is a `-m train.job` itself, not its decoding worker and not torchrun."""
    try:
        parent = process.parent()
        return _runs_job(process) and not (parent and _runs_job(parent))
    except psutil.NoSuchProcess:
        return False


def _runs_job(process: psutil.Process) -> bool:
    return exits.JOB in process.cmdline()


def start() -> None:
    """Run as the `train` command does, for `python -m train.entry`."""
    os.environ.setdefault("SAGEMAKER_TRAINING_MODULE", "train.entry:main")
    from sagemaker_training import trainer

    trainer.train()


if __name__ == "__main__":
    start()

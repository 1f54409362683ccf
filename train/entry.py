"""What the image's `train` runs: SageMaker's training contract, on sagemaker-training.

The toolkit calls `main`. It starts train.job, through train.platform.launch when there are several
GPUs or hosts, or the user's own script when the job names one. It forwards SIGTERM and turns a
failure into its reason. Everything the platform sees of us is here.
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

from train.platform import script
from train.recording.system import STARTED, own_start

MODULE = "train.job"
PROCESSES = "KENNEL_PROCESSES"  # training processes a host; on CPUs several only if it says so


def main() -> None:
    """Run the job of this host; called by sagemaker-training's `train`.

    Raises:
        sagemaker_training.errors.ClientError: the reason, which the toolkit writes to the failure
            file before it exits with 1.
    """
    from sagemaker_training import environment, errors

    os.environ[STARTED] = str(own_start())
    env = environment.Environment()
    stopped = _hand_on_sigterm()
    if env.user_entry_point:
        script.run(env)
        return
    environment.write_env_vars(env.to_env_vars())
    failure = Path(env.output_dir) / "failure"
    failure.unlink(missing_ok=True)
    code = subprocess.Popen(command(env)).wait()
    if stopped and (code < 0 or code == 128 + signal.SIGTERM):
        # Asked to stop before train.job could note it: there is nothing to save yet.
        print("stopped before training began", flush=True)
    elif code:
        raise errors.ClientError(reason(code, failure))


def command(env: Any) -> list[str]:
    """Return how to start train.job on this host.

    Args:
        env: sagemaker_training.environment.Environment.
    """
    processes = process_count(env)
    if processes == 1 and len(env.hosts) == 1:
        return [sys.executable, "-m", MODULE]
    os.environ.setdefault("NCCL_SOCKET_IFNAME", str(env.network_interface_name))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", str(env.network_interface_name))
    return [
        *(sys.executable, "-m", "train.platform.launch", "--processes", str(processes)),
        *("--hosts", ",".join(env.hosts), "--host", env.current_host),
        *("--address", env.master_hostname),
        *("--failure", str(Path(env.output_dir) / "failure")),
    ]


def process_count(env: Any) -> int:
    """Return the training processes of this host: one a GPU, or what PROCESSES says.

    Raises:
        sagemaker_training.errors.ClientError: it cannot be so many.
    """
    from sagemaker_training import errors

    gpus = int(env.num_gpus)
    told = os.environ.get(PROCESSES, "") or str(max(1, gpus))
    if not told.isdecimal() or not 1 <= int(told) <= (gpus or 64):
        raise errors.ClientError(
            f"ConfigError: the environment's {PROCESSES} is {told!r}: a number of training "
            f"processes a host, at most {f'its {gpus} GPUs' if gpus else '64 on a CPU'}"
        )
    return int(told)


def reason(code: int, failure: Path) -> str:
    """Return why train.job ended with `code`: what it wrote, or what its exit tells."""
    if failure.is_file() and (text := failure.read_text(errors="replace").strip()):
        return text
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return (
            "training was killed (SIGKILL), most likely for want of memory: "
            "lower batch_size or workers, or take a larger instance"
        )
    if code in (-signal.SIGBUS, 128 + signal.SIGBUS):
        return "training died of a bus error, most likely for want of shared memory: set workers=0"
    return f"training ended with exit code {code} and left no reason; see the log above"


def _hand_on_sigterm() -> list[int]:
    """Send SIGTERM on to the training processes; return a list that fills when it comes.

    As process 1 of a container we would otherwise ignore it. torchrun would answer it by failing,
    so the processes that it started are told and it is not.
    """
    received: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        received.append(number)
        descendants = psutil.Process().children(recursive=True)
        ranks = [process for process in descendants if _is_rank(process)]
        for process in ranks or psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself just now
                process.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    return received


def _is_rank(process: psutil.Process) -> bool:
    """Whether it is a `-m train.job` itself, not its decoding worker nor torchrun."""
    try:
        parent = process.parent()
        return _runs_job(process) and not (parent and _runs_job(parent))
    except psutil.NoSuchProcess:
        return False


def _runs_job(process: psutil.Process) -> bool:
    return MODULE in process.cmdline()


def start() -> None:
    """Run as the `train` command would, for `python -m train.entry`."""
    os.environ.setdefault("SAGEMAKER_TRAINING_MODULE", "train.entry:main")
    from sagemaker_training import trainer

    trainer.train()


if __name__ == "__main__":
    start()

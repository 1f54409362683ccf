"""What the image's `train` runs: SageMaker's training contract, on sagemaker-training.

The toolkit calls `main`. It starts train.job (under torchrun when there are several GPUs or hosts),
or the user's own script when the job names one, hands SIGTERM on, and turns a failure into its
reason. Everything the platform sees of us is here.
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

from train import script
from train.system import STARTED, own_start

MASTER_PORT = "7777"  # unless the environment has torch's variable of this name
MODULE = "train.job"


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
    if code < 0 and stopped:
        # Asked to stop before train.job could note it: there is nothing to save yet.
        print(f"stopped by signal {-code} before training began", flush=True)
    elif code:
        raise errors.ClientError(reason(code, failure))


def command(env: Any) -> list[str]:
    """Return how to start train.job on this host.

    Args:
        env: sagemaker_training.environment.Environment.
    """
    processes = max(1, env.num_gpus)
    if processes == 1 and len(env.hosts) == 1:
        return [sys.executable, "-m", MODULE]
    os.environ.setdefault("NCCL_SOCKET_IFNAME", str(env.network_interface_name))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", str(env.network_interface_name))
    return [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--nnodes", str(len(env.hosts)), "--nproc_per_node", str(processes)),
        *("--node_rank", str(env.hosts.index(env.current_host))),
        *(
            "--master_addr",
            env.master_hostname,
            "--master_port",
            os.environ.get("MASTER_PORT", MASTER_PORT),
        ),
        *("-m", MODULE),
    ]


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
    so its workers are told and it is not.
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
    line = process.cmdline()
    return MODULE in line and "torch.distributed.run" not in line


def start() -> None:
    """Run as the `train` command would, for `python -m train.entry`."""
    os.environ.setdefault("SAGEMAKER_TRAINING_MODULE", "train.entry:main")
    from sagemaker_training import trainer

    trainer.train()


if __name__ == "__main__":
    start()

"""Script mode: the user's own script instead of ours, run as the stock toolkit runs it.

The toolkit's own capture of errors splits a traceback at each read, so the end of stderr is stored
here.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TAIL = 16_384  # bytes of stderr that are stored


def run(env: Any) -> None:
    """Run the job's script.

    Args:
        env: sagemaker_training.environment.Environment.

    Raises:
        sagemaker_training.errors.ClientError: the script failed. Its last line comes first, because
            the platform shows the first 1,024 characters of a reason.
    """
    from sagemaker_training import entry_point, errors, runner

    distributed = env.additional_framework_parameters.get("sagemaker_torch_distributed_enabled")
    with stderr_tail() as tail:
        try:
            entry_point.run(
                uri=env.module_dir,
                user_entry_point=env.user_entry_point,
                args=env.to_cmd_args(),
                env_vars=env.to_env_vars(),
                runner_type=(
                    runner.TorchDistributedRunnerType if distributed else runner.ProcessRunnerType
                ),
                capture_error=False,
            )
            return
        except errors.ExecuteUserScriptError as error:
            failed = error
    stderr = bytes(tail).decode(errors="replace").strip() or "it wrote nothing to stderr"
    raise errors.ClientError(
        f"{stderr.splitlines()[-1]}\n\n{env.user_entry_point} ended with exit code "
        f"{failed.return_code}; the end of its stderr:\n{stderr}"
    )


@contextmanager
def stderr_tail() -> Iterator[bytearray]:
    """Yield a buffer that holds the end of stderr, of this process and its children, at the exit.

    Everything is still written to stderr.
    """
    tail = bytearray()
    outside = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)

    def forward() -> None:
        while piece := os.read(reading, TAIL):
            os.write(outside, piece)
            tail.extend(piece)
            del tail[:-TAIL]

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    try:
        yield tail
    finally:
        os.dup2(outside, 2)  # this process no longer writes to the pipe
        thread.join(timeout=20)  # a child of the script can still hold it open
        if not thread.is_alive():
            os.close(outside)
            os.close(reading)

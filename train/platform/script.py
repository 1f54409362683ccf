"""The user's own script instead of ours, run as the stock toolkit runs it (script mode).

The toolkit's own capture of errors tears a traceback at its reads; the end of stderr is kept here.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

KEPT = 16_384  # bytes of stderr


def run(env: Any) -> None:
    """Run the job's script.

    Args:
        env: sagemaker_training.environment.Environment.

    Raises:
        sagemaker_training.errors.ClientError: it failed; its last words come first, because the
            platform shows the first 1,024 characters of a reason.
    """
    from sagemaker_training import entry_point, errors, runner

    distributed = env.additional_framework_parameters.get("sagemaker_torch_distributed_enabled")
    with kept_stderr() as kept:
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
    said = bytes(kept).decode(errors="replace").strip() or "it wrote nothing to stderr"
    raise errors.ClientError(
        f"{said.splitlines()[-1]}\n\n{env.user_entry_point} ended with exit code "
        f"{failed.return_code}; the end of its stderr:\n{said}"
    )


@contextmanager
def kept_stderr() -> Iterator[bytearray]:
    """Have this process and its children write stderr as before; give its end, once left."""
    kept = bytearray()
    outside = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)

    def hand_on() -> None:
        while piece := os.read(reading, KEPT):
            os.write(outside, piece)
            kept.extend(piece)
            del kept[:-KEPT]

    thread = threading.Thread(target=hand_on, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        os.dup2(outside, 2)  # the pipe's last writer here is gone
        thread.join(timeout=20)  # a child that the script left behind may hold on to it
        if not thread.is_alive():
            os.close(outside)
            os.close(reading)

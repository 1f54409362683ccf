"""Script mode: the user's own script instead of ours, run as the stock toolkit runs it.

The toolkit's own capture of errors splits a traceback at each read, so the end of stderr is stored
here.
"""

import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TAIL = 16_384  # bytes of stderr that are stored
TORCH = "sagemaker_torch_distributed_enabled"


def run(env: Any) -> None:
    """Run the job's script.

    Args:
        env: sagemaker_training.environment.Environment.

    Raises:
        sagemaker_training.errors.ClientError: the script failed, or it could not be fetched, or
            what it needs could not be installed. The cause comes first, because the platform shows
            the first 1,024 characters of a reason.
    """
    from sagemaker_training import entry_point, errors, runner

    check_launcher(env)
    torch = is_on(env.additional_framework_parameters.get(TORCH))
    arguments, variables = env.to_cmd_args(), env.to_env_vars()
    _fetch(env.module_dir)
    with stderr_tail() as tail:
        try:
            chosen = runner.get(
                runner.TorchDistributedRunnerType if torch else runner.ProcessRunnerType,
                env.user_entry_point,
                arguments,
                variables,
            )
            entry_point.run(
                uri=env.module_dir,
                user_entry_point=env.user_entry_point,
                args=arguments,
                env_vars=variables,
                runner_type=_by_keyword(chosen),
                capture_error=False,
            )
            return
        except errors.ExecuteUserScriptError as error:
            what = f"{env.user_entry_point} ended with exit code {error.return_code}"
        except errors._CalledProcessError as error:  # pip, for requirements.txt or a package
            what = f"{error.cmd} ended with exit code {error.return_code}"
        except errors.ClientError:
            raise
        except Exception as error:  # without it the reason would begin with the whole traceback
            raise errors.ClientError(
                f"{type(error).__name__}: {error}\n\n{env.user_entry_point} could not be started:\n"
                f"{traceback.format_exc()}"
            ) from error
    stderr = bytes(tail).decode(errors="replace").strip() or "it wrote nothing to stderr"
    raise errors.ClientError(
        f"{stderr.splitlines()[-1]}\n\n{what}; the end of its stderr:\n{stderr}"
    )


def check_launcher(env: Any) -> None:
    """Refuse a job that asks for a launcher that this image does not have.

    The SDKs ask for one with a hyperparameter `sagemaker_…_enabled`.

    Args:
        env: sagemaker_training.environment.Environment.

    Raises:
        sagemaker_training.errors.ClientError: it asks for one, by its name.
    """
    from sagemaker_training import errors

    given = {**env.hyperparameters, **env.additional_framework_parameters}
    refused = sorted(name for name in given if is_launcher(name) and is_on(given[name]))
    if refused:
        raise errors.ClientError(
            f"ConfigError: {', '.join(refused)}: this image starts a script on several GPUs and "
            f"hosts with torchrun only: remove it and set {TORCH}=true"
        )


def is_launcher(name: str) -> bool:
    """Whether a hyperparameter asks for a way to start a script other than torchrun."""
    return name.startswith("sagemaker_") and name.endswith("_enabled") and name != TORCH


def _fetch(uri: str) -> None:
    """Fetch the code, unless it is there already.

    Raises:
        sagemaker_training.errors.ClientError: with the cause; the toolkit gives its traceback.
    """
    from sagemaker_training import environment, errors, files

    try:
        files.download_and_extract(uri=uri, path=environment.code_dir)
    except Exception as error:  # of boto3, tarfile, or the disk
        raise errors.ClientError(
            f"the code at {uri} cannot be fetched: {type(error).__name__}: {error}\n\n"
            "sagemaker_submit_directory must be an archive sourcedir.tar.gz in S3 that the job's "
            "role can read, or a file or folder of a channel"
        ) from error


def is_on(value: object) -> bool:
    """Whether a hyperparameter is true, as the SDKs write it."""
    return str(value).strip('"').lower() in ("true", "1", "yes")


def _by_keyword(chosen: Any) -> Any:
    """Return a runner that calls `chosen` by keyword.

    The toolkit passes (wait, capture_error) by position, but its runner for torchrun takes them in
    the other order: it would not wait, and a script that fails would be reported as a success.
    """
    from sagemaker_training import process

    class ByKeyword(process.ProcessRunner):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def run(self, wait: bool = True, capture_error: bool = False) -> Any:
            return chosen.run(wait=wait, capture_error=capture_error)

    return ByKeyword()


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

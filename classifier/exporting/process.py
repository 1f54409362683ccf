"""An export in a process of its own, so that it can be ended: the bundle itself is worth more.

`python -m classifier.exporting.process` is that process; `run` starts it.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from classifier import bundle
from classifier.description import ONNX, ONNX_INT8, BundleError, describe
from classifier.exporting import sample
from pictures.picture import Picture

_MARGIN = 3.0  # seconds before the end at which the comparison stops, to write the file
_POLL = 0.1  # seconds


def run(
    directory: Path,
    calibration: Sequence[Picture],
    validation: Sequence[Picture],
    *,
    int8: bool,
    seconds: float,
    say: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Export a bundle, for at most `seconds`. It stays usable, whatever happens.

    Args:
        directory: of the bundle.
        calibration: pictures of training.
        validation: labelled pictures that were not trained on, in random order.
        int8: whether to make the file in 8 bits.
        seconds: after which the export is ended.
        say: prints a line.
        stopped: whether to end it now.
    """
    until = time.monotonic() + seconds
    command = [sys.executable, "-m", "classifier.exporting.process", f"--until={until}"]
    # The job's other processes have ended, or soon will: all cores, and no GPU.
    cores = str(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryFile() as pictures:
        pictures.write(sample.encode(calibration, validation).encode())
        pictures.seek(0)
        child = subprocess.Popen(
            [*command, *(["--int8"] if int8 else []), "--", str(directory.absolute())],
            stdin=pictures,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": cores},
        )
    assert child.stdout
    lines = child.stdout

    def read() -> None:
        for line in lines:
            say(line.decode(errors="replace").rstrip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while child.poll() is None and time.monotonic() < until and not stopped():
            time.sleep(_POLL)
        ended = child.poll() is None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        reader.join()
        lines.close()
    bundle.tidy(directory)
    if ended:
        why = "the job was asked to stop" if stopped() else f"its limit of {seconds:.0f} s is over"
        say(f"the export was ended, {why}: {_lacks(directory)}; `kennel export` has no limit")
    elif child.returncode not in (0, 1):
        say(f"the export failed with exit code {child.returncode}: {_lacks(directory)}")


def _lacks(directory: Path) -> str:
    found = describe(directory).export
    if found and found.int8:
        return "the bundle keeps its earlier exports"
    return f"the bundle has no {ONNX_INT8}" if found else f"the bundle has no {ONNX}"


def main() -> int:
    """Export one bundle, as `run` asks on the command line and stdin; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("directory", type=Path)
    given = parser.parse_args()
    with contextlib.suppress(OSError):
        # Without memory the kernel ends this process, and not the larger one of the job.
        Path("/proc/self/oom_score_adj").write_text("1000")
    from classifier.exporting import writing  # imports the exporters
    from classifier.exporting.network import ExportError

    calibration, validation = sample.decode(sys.stdin.read())

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        writing.export(
            given.directory,
            calibration,
            validation,
            int8=given.int8,
            say=say,
            until=given.until - _MARGIN,
        )
    except (ExportError, BundleError, OSError, MemoryError) as error:
        say(f"no {ONNX}: {error or type(error).__name__}; the bundle is served through torch")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

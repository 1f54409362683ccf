"""What the end of a job adds to its bundle: the network as ONNX, and in 8 bits."""

import time

from classifier.exporting import process, sample
from train.recording.system import process_started
from train.state.run import Run

# The most that `auto` takes: seconds, or a share of the job if that is more.
_SECONDS, _SHARE = 30.0, 0.03
_ASKED_SECONDS = 600.0  # the most that `onnx` and `int8` take


def export(run: Run) -> None:
    """Add the exports to the bundle in the model folder, which stays usable whatever happens."""
    wanted = run.config.export
    if wanted == "none":
        return
    seconds = most_seconds(wanted, time.time() - process_started())
    run.job.log(f"exporting the network, for at most {seconds:.0f} s (hyperparameter export)")
    began = time.monotonic()
    process.run(
        run.job.model_dir,
        *sample.of_job(run.splits.train, run.splits.valid),
        int8=wanted != "onnx",
        seconds=seconds,
        say=run.job.log,
        stopped=lambda: run.stop.requested,
    )
    run.job.log(f"the export took {time.monotonic() - began:.0f} s")


def most_seconds(wanted: str, job_seconds: float) -> float:
    """Return how long the export can take, after a job of so many seconds."""
    return max(_SECONDS, _SHARE * job_seconds) if wanted == "auto" else _ASKED_SECONDS

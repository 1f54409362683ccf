"""Prints what the real smdebug reads in a folder, as JSON.

It runs in its own process: smdebug changes how protobuf is imported, and its warnings would be
errors in this repository.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ENV = {
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",
    "SMDEBUG_LOG_LEVEL": "off",
    "SMDEBUG_TRAINING_END_DELAY_REFRESH": "0",
    "OMP_NUM_THREADS": "1",
}


def smdebug_reads(*wanted: tuple[str, Path]) -> list[Any]:
    """Return what smdebug reads in each folder, by kind: "tensors", "profiler" or "events"."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.debugger.smdebug_reader",
            *(f"{kind}:{folder}" for kind, folder in wanted),
        ],
        env=os.environ | _ENV,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read: list[Any] = json.loads(done.stdout)
    return read


def tensors(folder: str) -> Any:
    """Return the collections, and the values of each tensor by mode, step and worker."""
    from smdebug import modes
    from smdebug.trials import create_trial

    trial = create_trial(folder)
    found: dict[str, Any] = {}
    for name in trial.tensor_names():
        tensor = trial.tensor(name)
        for mode in (modes.TRAIN, modes.EVAL):
            for step in tensor.steps(mode=mode):
                for worker in tensor.workers(step, mode=mode):
                    stored = tensor._get_step_dict(step, mode)[worker]
                    reduced = {
                        f"{'abs_' if absolute else ''}{kind}": float(value)
                        for (kind, absolute), value in tensor.reduction_values(
                            step, mode=mode, worker=worker
                        ).items()
                    }
                    complete = stored.location is not None
                    value = tensor.value(step, mode=mode, worker=worker) if complete else None
                    found.setdefault(name, []).append(
                        {
                            "mode": mode.name,
                            "step": step,
                            "worker": worker,
                            "reductions": reduced,
                            "value": None if value is None else value.tolist(),
                            "dtype": None if value is None else str(value.dtype),
                        }
                    )
    collections = {
        name: sorted(collection.tensor_names) for name, collection in trial.collections().items()
    }
    return {"tensors": found, "collections": collections}


def profiler(folder: str) -> Any:
    """Return the rows of both tables of PandasFrame, and the step statistics."""
    from smdebug.profiler.analysis.utils.pandas_data_analysis import PandasFrameAnalysis, StatsBy
    from smdebug.profiler.analysis.utils.profiler_data_to_pandas import PandasFrame

    frame = PandasFrame(folder)
    system, framework = frame.get_all_system_metrics(), frame.get_all_framework_metrics()
    for table, columns in (
        (system, ["timestamp_us"]),
        (framework, ["start_time_us", "end_time_us"]),
    ):
        for column in columns:
            table[column] += frame.start_time
    analysis = PandasFrameAnalysis(system.copy(), framework.copy())
    statistics = analysis.get_step_statistics(by=StatsBy.TRAINING_PHASE)
    return {
        "system": json.loads(system.to_json(orient="records")),
        "framework": json.loads(framework.drop(columns=["tid"]).to_json(orient="records")),
        "statistics": json.loads(statistics.to_json(orient="records")),
    }


def events(file: str) -> Any:
    """Return the scalars of a TensorBoard event file; check all checksums."""
    from smdebug.core.tfevent.event_file_reader import EventFileReader

    found: list[Any] = []
    for event in EventFileReader(file).read_events(check="full"):
        if event.file_version:
            found.append(event.file_version)
        found += [[event.wall_time, event.step, v.tag, v.simple_value] for v in event.summary.value]
    return found


if __name__ == "__main__":
    kinds = {"tensors": tensors, "profiler": profiler, "events": events}
    requested = [item.partition(":") for item in sys.argv[1:]]
    print(json.dumps([kinds[kind](folder) for kind, _, folder in requested]))

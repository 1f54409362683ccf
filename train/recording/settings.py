"""What is recorded, and where: the hyperparameters, and SageMaker's own config files over them.

debughookconfig.json and profilerconfig.json are what CreateTrainingJob's DebugHookConfig and
ProfilerConfig become on the instance. They are data from outside: read as JSON, never evaluated
(smdebug gives parts of them to Python's `eval`). What cannot be followed is said, and left.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from debugger.records import ACTIVATIONS, COLLECTIONS, LOSSES, WEIGHTS
from train.config import TrainConfig
from train.platform.environment import Job

FOLDER = "recording"
# smdebug's built-in collections that ours hold under another name.
_SAME = {
    "biases": WEIGHTS,
    "relu_input": ACTIVATIONS,
    "relu_output": ACTIVATIONS,
    "sigmoid_input": ACTIVATIONS,
    "sigmoid_output": ACTIVATIONS,
    "tanh_input": ACTIVATIONS,
    "tanh_output": ACTIVATIONS,
}
# Parameters that SageMaker and smdebug know and that have no meaning here.
_PASSED_OVER = re.compile(
    r"smdebug|export_tensorboard|tensorboard_path|reductions|norms|abs_\w+|save_raw_tensor"
    r"|include_workers|(eval|predict|global)\.\w+"
)
_PROFILING_PASSED_OVER = re.compile(
    r"LocalPath|GeneralMetricsConfig|PythonProfilingConfig|DataloaderProfilingConfig"
    r"|SMDataParallelProfilingConfig|HorovodProfilingConfig|Rotate\w+|FileOpenFailThreshold"
)


@dataclass(frozen=True)
class Settings:
    """What a job records.

    `intervals` are steps between records, by collection; `window` is (first step, end) of
    torch.profiler; `notes` say what of SageMaker's files could not be followed.
    """

    folder: Path
    debugger: bool
    intervals: Mapping[str, int]
    raw: str
    rules: Mapping[str, Any]
    profiler: bool
    profiler_interval: float
    window: tuple[int, int] | None
    notes: tuple[str, ...] = ()

    @property
    def confusion_interval(self) -> int:
        """Steps between records of the training batches' answers."""
        others = [steps for name, steps in self.intervals.items() if name != LOSSES]
        return min(others, default=50)

    @classmethod
    def of(cls, config: TrainConfig, job: Job) -> "Settings":
        """Return those of a job."""
        first, _, end = config.profiler_steps.partition(":")
        names = re.findall(r"[^\s,]+", config.debugger_collections)
        settings = cls(
            folder=(job.checkpoints or job.output_dir) / FOLDER,
            debugger=config.debugger,
            intervals={name: 1 if name == LOSSES else config.debugger_interval for name in names},
            raw=config.debugger_raw,
            rules=json.loads(config.debugger_rules or "{}"),
            profiler=config.profiler,
            profiler_interval=config.profiler_interval,
            window=(int(first), int(end)) if end else None,
        )
        for file, follow in (
            ("debughookconfig.json", _with_hook_config),
            ("profilerconfig.json", _with_profiler_config),
        ):
            try:
                given = json.loads((job.config_dir / file).read_text())
                notes: list[str] = []
                settings = follow(settings, given, notes) if given else settings
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
                notes = [f"cannot be followed ({type(error).__name__}: {error})"]
            said = tuple(f"{file}: {note}" for note in notes)
            settings = replace(settings, notes=(*settings.notes, *said))
        return settings


def _with_hook_config(settings: Settings, given: dict[str, Any], notes: list[str]) -> Settings:
    """Follow LocalPath, HookParameters and CollectionConfigurations; note what is not known."""
    hook = dict(given.get("HookParameters") or {})
    every = _interval(hook)
    intervals = {
        name: every if every and name != LOSSES else steps
        for name, steps in settings.intervals.items()
    }
    asked: dict[str, int] = {}
    raw = [settings.raw] if settings.raw else []
    notes += [f"{name} is not known" for name in hook if not _PASSED_OVER.fullmatch(name)]
    for collection in given.get("CollectionConfigurations") or ():
        name = collection["CollectionName"]
        parameters = dict(collection.get("CollectionParameters") or {})
        pattern, whole = parameters.pop("include_regex", ""), _true(parameters, "save_raw_tensor")
        own = _SAME.get(name, name)
        interval = _interval(parameters) or intervals.get(own) or every or 50
        if own in COLLECTIONS:
            asked[own] = min(interval, asked.get(own, interval))
        elif name == "all":
            asked = {one: min(interval, asked.get(one, interval)) for one in COLLECTIONS}
        elif not (pattern and whole):
            notes.append(
                f"collection {name} is passed over: those known are {', '.join(COLLECTIONS)}, "
                "and any other with include_regex and save_raw_tensor"
            )
        if pattern and whole:
            re.compile(pattern)
            raw.append(pattern)
        notes += [f"{name}.{one} is not known" for one in parameters if not _known(one)]
    return replace(
        settings,
        folder=Path(given["LocalPath"]) if given.get("LocalPath") else settings.folder,
        intervals=asked or intervals,
        raw="|".join(f"(?:{one})" for one in raw),
    )


def _with_profiler_config(settings: Settings, given: dict[str, Any], notes: list[str]) -> Settings:
    """Follow DisableProfiler, the interval and the steps of DetailedProfilingConfig."""
    given = dict(given)
    disabled = _true(given, "DisableProfiler")
    if disabled and settings.profiler:
        notes.append("DisableProfiler, so neither host nor operators are recorded")
    milliseconds = given.pop("ProfilingIntervalInMilliseconds", None)
    window = settings.window
    parameters = given.pop("ProfilingParameters", None) or {}
    for name, value in parameters.items():
        if name == "DetailedProfilingConfig":
            asked = json.loads(value) if isinstance(value, str) else value
            if "StartStep" in asked:
                first = int(asked["StartStep"])
                window = (first, first + max(1, int(asked.get("NumSteps", 1))))
        elif not _PROFILING_PASSED_OVER.fullmatch(name):
            notes.append(f"{name} is not known")
    notes += [f"{name} is not known" for name in given if name != "S3OutputPath"]
    return replace(
        settings,
        profiler=settings.profiler and not disabled,
        profiler_interval=int(milliseconds) / 1000 if milliseconds else settings.profiler_interval,
        window=window,
    )


def _interval(parameters: dict[str, Any]) -> int:
    """Take the steps between two records out of `parameters`; 0 where they do not say."""
    own = parameters.pop("train.save_interval", None)
    shared = parameters.pop("save_interval", None)
    interval = int(own or shared or 0)
    if interval < 0:
        raise ValueError(f"save_interval {interval} is negative")
    return interval


def _true(parameters: dict[str, Any], name: str) -> bool:
    return str(parameters.pop(name, "")).lower() == "true"


def _known(name: str) -> bool:
    return bool(_PASSED_OVER.fullmatch(name))


def host() -> str:
    """Return this host's name, as SageMaker calls it."""
    return os.environ.get("SM_CURRENT_HOST", "algo-1")

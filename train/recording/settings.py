"""What is recorded, and where: hyperparameters, then SageMaker's own config files over them.

CreateTrainingJob's DebugHookConfig and ProfilerConfig are debughookconfig.json and
profilerconfig.json on the instance. Their contents come from outside: they are read as JSON and
never evaluated (smdebug gives parts of them to Python's `eval`). Unusable settings are logged and
ignored.
"""

import contextlib
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
# smdebug's built-in collections, and the collections that hold their tensors here.
_ALIASES = {
    "biases": WEIGHTS,
    "relu_input": ACTIVATIONS,
    "relu_output": ACTIVATIONS,
    "sigmoid_input": ACTIVATIONS,
    "sigmoid_output": ACTIVATIONS,
    "tanh_input": ACTIVATIONS,
    "tanh_output": ACTIVATIONS,
}
# Parameters of SageMaker and smdebug that have no meaning here.
_IGNORED = re.compile(
    r"smdebug|export_tensorboard|tensorboard_path|reductions|norms|abs_\w+|save_raw_tensor"
    r"|include_workers|(eval|predict|global)\.\w+"
)
_IGNORED_PROFILING = re.compile(
    r"LocalPath|GeneralMetricsConfig|PythonProfilingConfig|DataloaderProfilingConfig"
    r"|SMDataParallelProfilingConfig|HorovodProfilingConfig|Rotate\w+|FileOpenFailThreshold"
)


@dataclass(frozen=True)
class Settings:
    """What a job records.

    `intervals` are steps between records, by collection; `window` is torch.profiler's first step
    and the step before which it ends; `notes` name the ignored settings of SageMaker's files.
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
        """Return the settings of a job."""
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
        for file, apply in (
            ("debughookconfig.json", _with_hook_config),
            ("profilerconfig.json", _with_profiler_config),
        ):
            try:
                given = json.loads((job.config_dir / file).read_text())
                notes: list[str] = []
                settings = apply(settings, given, notes) if given else settings
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
                notes = [f"ignored, because it is not valid ({type(error).__name__}: {error})"]
            named = tuple(f"{file}: {note}" for note in notes)
            settings = replace(settings, notes=(*settings.notes, *named))
        return settings


def _with_hook_config(settings: Settings, given: dict[str, Any], notes: list[str]) -> Settings:
    """Apply LocalPath, HookParameters and CollectionConfigurations; note unknown settings."""
    hook = dict(given.get("HookParameters") or {})
    default = _pop_interval(hook)
    intervals = {
        name: default if default and name != LOSSES else steps
        for name, steps in settings.intervals.items()
    }
    requested: dict[str, int] = {}
    raw = [settings.raw] if settings.raw else []
    notes += [f"unknown parameter {name}" for name in hook if not _IGNORED.fullmatch(name)]
    for collection in given.get("CollectionConfigurations") or ():
        name = collection["CollectionName"]
        parameters = dict(collection.get("CollectionParameters") or {})
        pattern = parameters.pop("include_regex", "")
        whole = _pop_flag(parameters, "save_raw_tensor")
        own = _ALIASES.get(name, name)
        interval = _pop_interval(parameters) or intervals.get(own) or default or 50
        if own in COLLECTIONS:
            requested[own] = min(interval, requested.get(own, interval))
        elif name == "all":
            requested = {each: min(interval, requested.get(each, interval)) for each in COLLECTIONS}
        elif not (pattern and whole):
            notes.append(
                f"collection {name} is ignored: use {', '.join(COLLECTIONS)}, or give it "
                "include_regex and save_raw_tensor"
            )
        if pattern and whole:
            re.compile(pattern)
            raw.append(pattern)
        unknown = [key for key in parameters if not _IGNORED.fullmatch(key)]
        notes += [f"unknown parameter {name}.{key}" for key in unknown]
    return replace(
        settings,
        folder=Path(given["LocalPath"]) if given.get("LocalPath") else settings.folder,
        intervals=requested or intervals,
        raw="|".join(f"(?:{pattern})" for pattern in raw),
    )


def _with_profiler_config(settings: Settings, given: dict[str, Any], notes: list[str]) -> Settings:
    """Apply DisableProfiler, the interval and the steps of DetailedProfilingConfig."""
    given = dict(given)
    disabled = _pop_flag(given, "DisableProfiler")
    if disabled and settings.profiler:
        notes.append("DisableProfiler is set: no system metrics and no operators are recorded")
    milliseconds = given.pop("ProfilingIntervalInMilliseconds", None)
    window = settings.window
    parameters = given.pop("ProfilingParameters", None) or {}
    for name, value in parameters.items():
        if name == "DetailedProfilingConfig":
            detailed = json.loads(value) if isinstance(value, str) else value
            if "StartStep" in detailed:
                first = int(detailed["StartStep"])
                window = (first, first + max(1, int(detailed.get("NumSteps", 1))))
        elif not _IGNORED_PROFILING.fullmatch(name):
            notes.append(f"unknown parameter {name}")
    notes += [f"unknown parameter {name}" for name in given if name != "S3OutputPath"]
    return replace(
        settings,
        profiler=settings.profiler and not disabled,
        profiler_interval=int(milliseconds) / 1000 if milliseconds else settings.profiler_interval,
        window=window,
    )


def _pop_interval(parameters: dict[str, Any]) -> int:
    """Remove the steps between two records from `parameters` and return them; 0 if not given."""
    own = parameters.pop("train.save_interval", None)
    shared = parameters.pop("save_interval", None)
    interval = int(own or shared or 0)
    if interval < 0:
        raise ValueError(f"save_interval {interval} is negative")
    return interval


def _pop_flag(parameters: dict[str, Any], name: str) -> bool:
    return str(parameters.pop(name, "")).lower() == "true"


def platform(job: Job) -> dict[str, Any]:
    """Return what SageMaker's files say about the job: `instance_type`, `input_modes`."""
    facts: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        resources = json.loads((job.config_dir / "resourceconfig.json").read_text())
        facts["instance_type"] = str(resources["current_instance_type"])
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        given = json.loads((job.config_dir / "inputdataconfig.json").read_text())
        modes = {str(channel["TrainingInputMode"]) for channel in given.values()}
        facts["input_modes"] = sorted(modes)
    return facts


def host() -> str:
    """Return SageMaker's name of this host."""
    return os.environ.get("SM_CURRENT_HOST", "algo-1")

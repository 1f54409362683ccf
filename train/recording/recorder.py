"""Records a job while it runs: the hooks write each report of the loop to the disk.

An error in here never fails the training: the part that failed is switched off and logged once.
"""

import dataclasses
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import psutil
import torch
import torch.distributed as dist
from torch import nn

from debugger import records, report, rules
from debugger.records import EVALUATION, FINALISATION, INITIALISATION
from train.batches.batch import Batch
from train.config import TrainConfig
from train.platform.environment import Job
from train.platform.stop import Interrupted, Stop
from train.recording import hooks, tensors
from train.recording.operators import Window
from train.recording.settings import Settings, host
from train.recording.settings import platform as platform_facts
from train.recording.sink import Sink
from train.recording.steps import Steps
from train.recording.system import Sampler, process_started
from train.recording.timeline import CudaClock, HostClock

# Of the figures of a sample, those that are about the time since the one before.
_RATES = ("cpu", "iowait", "disk_", "network_")
_MOST = 500  # records of the time before the first sample


def start(config: TrainConfig, job: Job, stop: Stop) -> hooks.Hooks:
    """Return the hooks of a job; they do nothing if neither debugger nor profiler is on."""
    if not (config.debugger or config.profiler):
        return hooks.Hooks()
    settings = Settings.of(config, job)
    if not (settings.debugger or settings.profiler):
        return hooks.Hooks()
    return Recorder(settings, job, stop, config.model_dump())


class Recorder(hooks.Hooks):
    """The hooks of a recorded job."""

    def __init__(
        self, settings: Settings, job: Job, stop: Stop, config: Mapping[str, object]
    ) -> None:
        self._settings, self._job, self._config = settings, job, config
        self._host = HostClock()
        self._source: dict[str, Any] = {"rank": job.rank, "host": host()}
        runs_rules = settings.debugger and job.is_main
        self._sink = Sink(
            *(settings.folder, self._source["host"], job.rank, self._host.mark),
            rules.make(settings.rules) if runs_rules else (),
            stop.ask,
        )
        self._sampler: Sampler | None = None
        window = None
        if settings.profiler and settings.window and job.is_main:
            window = Window(*settings.window, self._write, self._source)
        self._steps = Steps(self._sink, settings, self._source, self._host, self._host, window)
        self._started = self._steps.last = self._host.mark()
        self._process_started = process_started()  # once, because two readings of a clock differ
        self._initialised = False

    # ---- the job -------------------------------------------------------------------------------
    def watch(self, facts: hooks.Facts, network: nn.Module) -> None:
        """Write the Start record."""
        self._sink.attempt("recording", lambda: self._watch(facts, network))

    def _watch(self, facts: hooks.Facts, network: nn.Module) -> None:
        self._steps.scaled = facts.precision is torch.float16
        if self._job.is_main and not self._config.get("sweep"):
            self._steps.network = network  # in a sweep, the heads of the trials replace its head
        self._steps.classes = len(facts.classes)
        if facts.device.type == "cuda":
            self._steps.clock = CudaClock(self._host)
        for note in self._settings.notes:
            self._job.log(note)
            self._sink.note(note)
        self._open(
            {
                "architecture": facts.architecture,
                "device": _device_name(facts.device),
                "precision": str(facts.precision or torch.float32).removeprefix("torch."),
                "workers": facts.workers,
                "classes": self._steps.classes,
                "class_names": list(facts.classes),
                "layers": {
                    name: type(module).__name__ for name, module in tensors.leaves(network).items()
                },
            }
        )

    def __enter__(self) -> Self:
        if self._settings.profiler and self._job.local_rank == 0:
            self._sink.attempt("system", self._start_sampler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sink.attempt("timeline", self._steps.end)
        if self._sampler:
            self._sink.attempt("system", self._sampler.stop)
        if not self._sink.opened:
            self._open({})
        now = self._host.mark()
        self._write(
            records.Phase(now, FINALISATION, self._steps.last, self._steps.number, **self._source)
        )
        if kind is None:
            end = records.End(now, "completed", **self._source)
        elif issubclass(kind, Interrupted):
            end = records.End(now, "stopped", str(error), **self._source)
        else:
            end = records.End(now, "failed", f"{kind.__name__}: {error}", **self._source)
        self._write(end)
        if end.status != "failed" and dist.is_initialized():
            # The report needs the End records of all processes.
            self._sink.attempt("waiting for the other processes", dist.barrier)
        if self._sink.writing and self._job.is_main:
            self._sink.attempt("report", self._report)
        self._sink.close()

    def _report(self) -> None:
        """Write report.html and report.json to the output folder."""
        out = self._job.output_dir
        out.mkdir(parents=True, exist_ok=True)
        html, json = out / "report.html", out / "report.json"
        report.write(self._settings.folder, html, json, settings=self._settings.rules)

    def _start_sampler(self) -> None:
        process = psutil.Process()
        if self._job.local_world_size > 1:  # torchrun, the parent of all processes on this host
            process = process.parent() or process
        self._sampler = Sampler(self._settings.profiler_interval, self._write_sample, process)
        self._sampler.start()

    def _write_sample(self, sample: Callable[[], dict[str, float]], *, first: bool) -> None:
        self._sink.attempt("system", lambda: self._sample(sample, first=first))

    def _sample(self, sample: Callable[[], dict[str, float]], *, first: bool) -> None:
        """Write a sample; the rates of the first are averages, written for the time since then."""
        now, values = self._host.mark(), sample()
        if first:
            rates = {name: item for name, item in values.items() if name.startswith(_RATES)}
            every = max(2 * self._settings.profiler_interval, (now - self._process_started) / _MOST)
            at = self._process_started
            while at < now:
                self._write(records.System(at, rates, **self._source))
                at += every
        self._write(records.System(now, values, **self._source))

    def _open(self, facts: Mapping[str, Any]) -> None:
        common = {
            "batch_size": self._config.get("batch_size"),
            "cores": len(os.sched_getaffinity(0)),
            **platform_facts(self._job),
            "world": self._job.world_size,
            "settings": dataclasses.asdict(self._settings) | {"folder": str(self._settings.folder)},
            "hyperparameters": dict(self._config),
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "torchvision")},
            },
        }
        name = os.environ.get("TRAINING_JOB_NAME", "") or "training"
        started = self._process_started
        self._sink.open(
            records.Start(
                *(self._started, name, self._job.world_size, started),
                {**common, **facts},
                **self._source,
            )
        )

    # ---- reports of the loop -------------------------------------------------------------------
    def steps(
        self, mode: records.Mode, batches: Iterable[Batch], epoch: int = 0, first: int = 0
    ) -> Iterator[tuple[hooks.Step, Batch]]:
        """Yield batches with their steps; each is written once the device has finished it."""
        self._end_initialisation()
        yield from self._steps.follow(mode, batches, epoch, first)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase of the job."""
        self._steps.finish()
        self._end_initialisation()
        start = self._host.mark()
        try:
            yield
        finally:
            self._steps.last = self._host.mark()
            self._write(
                records.Phase(self._steps.last, name, start, self._steps.number, **self._source)
            )
            if name == EVALUATION:
                self._sink.attempt("timeline", self._steps.drain)

    def confusion(self, matrix: torch.Tensor, split: str = "") -> None:
        """Write an evaluation's confusion matrix, and its wrongly answered pictures."""
        if self._settings.debugger:
            self._sink.attempt("confusion", lambda: self._write_confusion(matrix, split))

    def _write_confusion(self, matrix: torch.Tensor, split: str) -> None:
        true, answered = matrix.nonzero(as_tuple=True)
        counts = matrix[true, answered].tolist()
        cells = zip(true.tolist(), answered.tolist(), counts, strict=True)
        self._steps.write_confusion("eval", self._steps.last, tuple(cells), split)

    def metrics(self, values: Mapping[str, float], epoch: int, step: int | None = None) -> None:
        """Write an epoch's metrics."""
        now = self._host.mark()
        step = self._steps.number if step is None else step
        for name, value in values.items():
            self._write(records.Scalar(now, name, step, epoch, value, **self._source))

    def trial(self, trial: hooks.Trial) -> None:
        """Write a trial of a sweep."""
        fields = {item.name: getattr(trial, item.name) for item in dataclasses.fields(trial)}
        self._write(records.Trial(self._host.mark(), **fields, **self._source))

    def best(self, values: Mapping[str, float], epoch: int) -> None:
        """Write which epoch is in the bundle."""
        self._write(records.Best(self._host.mark(), epoch, dict(values), **self._source))

    def _end_initialisation(self) -> None:
        """Write the phase from the start of the process to the first report, once."""
        if not self._initialised:
            self._initialised = True
            now = self._host.mark()
            self._write(
                records.Phase(now, INITIALISATION, self._process_started, 0, **self._source)
            )

    def _write(self, record: records.Record) -> None:
        self._sink.write(record)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"

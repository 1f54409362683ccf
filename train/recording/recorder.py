"""Records a job while it runs: what the hooks in the loop tell, as records on the disk.

No failure in here fails the training: each part that fails is switched off, said once and noted.
"""

import dataclasses
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import psutil
import torch
import torch.distributed as dist
from torch import nn

from debugger import records, report, rules
from debugger.records import EVALUATION, FINALISATION, INITIALISATION
from train.batches.data import Batch
from train.config import TrainConfig
from train.platform.stop import Interrupted, Stop
from train.recording import hooks, tensors
from train.recording.operators import Window
from train.recording.settings import Settings, host
from train.recording.sink import Sink
from train.recording.steps import Steps
from train.recording.system import Sampler, process_started
from train.recording.timeline import CudaClock, HostClock

if TYPE_CHECKING:
    from train.job import Job
    from train.learning.evaluate import Scores
    from train.state.run import Run


def start(config: TrainConfig, job: "Job", stop: Stop) -> hooks.Hooks:
    """Return the hooks of a job: inert ones where neither debugger nor profiler is on."""
    if not (config.debugger or config.profiler):
        return hooks.Hooks()
    settings = Settings.of(config, job)
    if not (settings.debugger or settings.profiler):
        return hooks.Hooks()
    return Recorder(settings, job, stop, config.model_dump())


class Recorder(hooks.Hooks):
    """The hooks of a job that is recorded."""

    def __init__(
        self, settings: Settings, job: "Job", stop: Stop, config: Mapping[str, object]
    ) -> None:
        self._settings, self._job, self._config = settings, job, config
        self._host = HostClock()
        self._who: dict[str, Any] = {"rank": job.rank, "host": host()}
        watching = settings.debugger and job.rank == 0
        self._sink = Sink(
            *(settings.folder, self._who["host"], job.rank, self._host.mark),
            rules.make(settings.rules) if watching else (),
            stop.ask,
        )
        self._sampler: Sampler | None = None
        window = None
        if settings.profiler and settings.window and job.rank == 0:
            window = Window(*settings.window, self._write, self._who)
        self._steps = Steps(self._sink, settings, self._who, self._host, self._host, window)
        self._began = self._steps.last = self._host.mark()
        self._process_started = (
            process_started()
        )  # asked once, for every look at the clocks differs
        self._initialised = False

    # ---- the job -------------------------------------------------------------------------------
    def watch(self, run: "Run", network: nn.Module) -> None:
        """Write the Start, now that all is known of it."""
        self._sink.attempt("recording", lambda: self._watch(run, network))

    def _watch(self, run: "Run", network: nn.Module) -> None:
        self._steps.scaled = run.precision is torch.float16
        if run.chief:
            self._steps.network = network
        self._steps.classes = len(run.splits.classes)
        if run.device.type == "cuda":
            self._steps.clock = CudaClock(self._host)
        for note in self._settings.notes:
            run.say(note)
            self._sink.note(note)
        self._open(
            {
                "architecture": run.config.architecture,
                "device": _device_name(run.device),
                "precision": str(run.precision or torch.float32).removeprefix("torch."),
                "workers": run.workers,
                "classes": self._steps.classes,
                "class_names": list(run.splits.classes),
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
            records.Phase(now, FINALISATION, self._steps.last, self._steps.number, **self._who)
        )
        if kind is None:
            end = records.End(now, "completed", **self._who)
        elif issubclass(kind, Interrupted):
            end = records.End(now, "stopped", str(error), **self._who)
        else:
            end = records.End(now, "failed", f"{kind.__name__}: {error}", **self._who)
        self._write(end)
        if end.status != "failed" and dist.is_initialized():
            self._sink.attempt("waiting for the others", dist.barrier)  # they write their ends
        if self._sink.writing and self._job.rank == 0:
            self._sink.attempt("report", self._report)
        self._sink.close()

    def _report(self) -> None:
        """Leave report.html and report.json in the output folder."""
        out = self._job.output_dir
        out.mkdir(parents=True, exist_ok=True)
        html, json = out / "report.html", out / "report.json"
        report.write(self._settings.folder, html, json, settings=self._settings.rules)

    def _start_sampler(self) -> None:
        process = psutil.Process()
        if self._job.local_world > 1:  # torchrun's, whose children are all of this host
            process = process.parent() or process
        self._sampler = Sampler(self._settings.profiler_interval, self._take_sample, process)
        self._sampler.start()

    def _take_sample(self, sample: Callable[[], dict[str, float]]) -> None:
        self._sink.attempt(
            "system", lambda: self._write(records.System(self._host.mark(), sample(), **self._who))
        )

    def _open(self, facts: Mapping[str, Any]) -> None:
        known = {
            "batch_size": self._config.get("batch_size"),
            "cores": len(os.sched_getaffinity(0)),
            "world": self._job.world,
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
                self._began, name, self._job.world, started, {**known, **facts}, **self._who
            )
        )

    # ---- what the loop tells -------------------------------------------------------------------
    def steps(
        self, mode: records.Mode, batches: Iterable[Batch], epoch: int = 0, first: int = 0
    ) -> Iterator[tuple[hooks.Step, Batch]]:
        """Yield batches with their steps, each written once the device has done it."""
        self._begun()
        yield from self._steps.follow(mode, batches, epoch, first)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase of the job."""
        self._steps.finish()
        self._begun()
        start = self._host.mark()
        try:
            yield
        finally:
            self._steps.last = self._host.mark()
            self._write(
                records.Phase(self._steps.last, name, start, self._steps.number, **self._who)
            )
            if name == EVALUATION:
                self._sink.attempt("timeline", self._steps.drain)

    def scored(self, scores: "Scores") -> None:
        """Write an evaluation's confusion matrix."""
        if self._settings.debugger:
            self._sink.attempt("confusion", lambda: self._tell_scores(scores))

    def _tell_scores(self, scores: "Scores") -> None:
        true, answered = scores.confusion.nonzero(as_tuple=True)
        counts = scores.confusion[true, answered].tolist()
        cells = zip(true.tolist(), answered.tolist(), counts, strict=True)
        self._steps.tell_confusion("eval", self._steps.last, tuple(cells))

    def figures(self, figures: Mapping[str, float], epoch: int) -> None:
        """Write an epoch's metrics."""
        now = self._host.mark()
        for name, value in figures.items():
            self._write(records.Scalar(now, name, self._steps.number, epoch, value, **self._who))

    def _begun(self) -> None:
        if not self._initialised:
            self._initialised = True
            now = self._host.mark()
            self._write(records.Phase(now, INITIALISATION, self._process_started, 0, **self._who))

    def _write(self, record: records.Record) -> None:
        self._sink.write(record)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"

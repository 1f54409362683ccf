"""Records a job while it runs: what the hooks in the loop tell, as records on the disk.

No failure in here fails the training: each part that fails is switched off, said once and noted.
"""

import os
import platform
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import psutil
import torch
import torch.distributed as dist
from torch import nn

from debugger import records, report, rules
from debugger.records import (
    DATA_WAIT,
    EVALUATION,
    FINALISATION,
    FORWARD,
    INITIALISATION,
    LOSSES,
    OPTIMIZER,
    RECORDING,
)
from train import hooks, tensors
from train.config import TrainConfig
from train.data import Batch
from train.hookconfig import Settings, host
from train.operators import Window
from train.sink import Sink
from train.stop import Interrupted, Stop
from train.system import Sampler, process_started
from train.timeline import Clock, CudaClock, HostClock, Trace

if TYPE_CHECKING:
    from train.evaluate import Scores
    from train.job import Job
    from train.loop import Run


def start(config: TrainConfig, job: "Job", stop: Stop) -> hooks.Hooks:
    """Return the hooks of a job: inert ones where neither debugger nor profiler is on."""
    if not (config.debugger or config.profiler):
        return hooks.Hooks()
    settings = Settings.of(config, job)
    if not (settings.debugger or settings.profiler):
        return hooks.Hooks()
    return Recorder(settings, job, stop, config.model_dump())


@dataclass
class _Step(hooks.Step):
    """A step at work, and what is known of it; written when the device has done it."""

    sink: Sink
    mode: records.Mode
    number: int
    epoch: int
    trace: Trace[Any]
    look: tensors.Look | None
    size: int = 0
    loss: torch.Tensor | None = None
    pair: tuple[torch.Tensor, torch.Tensor] | None = None  # labels and answers
    pairs: torch.Tensor | None = None  # int64 [2, n], of this and earlier steps, if due

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        look = self.look
        if look and name == OPTIMIZER:
            with self.trace.phase(RECORDING):
                self.sink.attempt("tensors", look.before_optimizer)
        with self._looking(name), self.trace.phase(name):
            yield
        if look and name == OPTIMIZER:
            with self.trace.phase(RECORDING):
                self.sink.attempt("tensors", look.after_optimizer)

    def result(self, loss: torch.Tensor, labels: torch.Tensor, answers: torch.Tensor) -> None:
        self.loss, self.pair = loss.detach(), (labels, answers)

    def end(self) -> None:
        """Begin to copy the figures to the host; they are there once the end is reached."""
        with self.trace.phase(RECORDING) if self.look or self.pairs is not None else nullcontext():
            if self.loss is not None:
                self.loss = self.loss.to("cpu", non_blocking=True)
            if self.pairs is not None:
                self.pairs = self.pairs.to("cpu", non_blocking=True)
            if self.look:
                self.sink.attempt("tensors", self.look.fetch)
        self.trace.end()

    def _looking(self, name: str) -> AbstractContextManager[None]:
        if not self.look or name != FORWARD:
            return nullcontext()
        return self.look.forward(
            lambda: self.trace.phase(RECORDING), lambda act: self.sink.attempt("tensors", act)
        )


class Recorder(hooks.Hooks):
    """The hooks of a job that is recorded."""

    def __init__(
        self, settings: Settings, job: "Job", stop: Stop, config: Mapping[str, object]
    ) -> None:
        self._settings, self._job, self._config = settings, job, config
        self._host = HostClock()
        self._clock: Clock[Any] = self._host
        self._who: dict[str, Any] = {"rank": job.rank, "host": host()}
        watching = settings.debugger and job.rank == 0
        self._sink = Sink(
            *(settings.folder, self._who["host"], job.rank, self._host.mark),
            rules.make(settings.rules) if watching else (),
            stop.ask,
        )
        self._sampler: Sampler | None = None
        self._window: Window | None = None
        if settings.profiler and settings.window and job.rank == 0:
            self._window = Window(*settings.window, self._write, self._who)
        self._began = self._host.mark()
        self._network: nn.Module | None = None
        self._step: _Step | None = None  # at work
        self._waiting: deque[_Step] = deque()  # for the device
        self._answers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._number, self._epoch = 0, 0
        self._classes = 0
        self._initialised = False
        self._last = self._began  # when the last step or phase ended

    # ---- the job -------------------------------------------------------------------------------
    def watch(self, run: "Run", network: nn.Module) -> None:
        """Write the Start, now that all is known of it."""
        self._network = network
        self._classes = len(run.splits.classes)
        if run.device.type == "cuda":
            self._clock = CudaClock(self._host)
        for note in self._settings.notes:
            run.say(note)
            self._sink.note(note)
        self._open(
            {
                "architecture": run.config.architecture,
                "device": _device_name(run.device),
                "precision": str(run.precision or torch.float32).removeprefix("torch."),
                "workers": run.workers,
                "classes": self._classes,
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
        self._sink.attempt("timeline", self._drain)
        if self._sampler:
            self._sink.attempt("system", self._sampler.stop)
        if not self._sink.opened:
            self._open({})
        now = self._host.mark()
        self._write(records.Phase(now, FINALISATION, self._last, self._number, **self._who))
        if kind is None:
            end = records.End(now, "completed", **self._who)
        elif issubclass(kind, Interrupted):
            end = records.End(now, "stopped", str(error), **self._who)
        else:
            end = records.End(now, "failed", f"{kind.__name__}: {error}", **self._who)
        self._write(end)
        if self._sink.writing:
            self._sink.attempt("report", lambda: self._report(wait=end.status != "failed"))
        self._sink.close()

    def _report(self, *, wait: bool) -> None:
        """Leave report.html and report.json in the output folder.

        Args:
            wait: for what the other processes still write; those of a failed job may be gone.
        """
        if wait and dist.is_initialized():
            dist.barrier()
        if self._job.rank == 0:
            out = self._job.output_dir
            out.mkdir(parents=True, exist_ok=True)
            report.write(
                self._settings.folder,
                out / "report.html",
                out / "report.json",
                settings=self._settings.rules,
            )

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
            "hyperparameters": dict(self._config),
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "torchvision")},
            },
        }
        name = os.environ.get("TRAINING_JOB_NAME", "") or "training"
        started = process_started()
        self._sink.open(
            records.Start(
                self._began, name, self._job.world, started, {**known, **facts}, **self._who
            )
        )

    # ---- steps ---------------------------------------------------------------------------------
    def steps(
        self, mode: records.Mode, batches: Iterable[Batch], epoch: int = 0, first: int = 0
    ) -> Iterator[tuple[hooks.Step, Batch]]:
        """Yield batches with their steps, each written once the device has done it."""
        if mode == "train":
            self._number, self._epoch = first, epoch
        self._sink.attempt("timeline", self._clock.anchor)
        iterator = iter(batches)
        while True:
            self._begun()
            if mode == "train":
                self._profile(end=False)
            step = self._make(mode)
            with step.trace.phase(DATA_WAIT):
                batch = next(iterator, None)
            if batch is None:
                break
            step.size = len(batch.labels)
            self._step = step
            yield step, batch
            self._finish()
            if mode == "train":
                self._number += 1
        if mode == "train":
            self._profile(end=True)
            self._sink.attempt("timeline", self._flush_answers)

    def _profile(self, *, end: bool) -> None:
        """Begin or end torch.profiler's window, where it is time."""
        window, number = self._window, self._number
        if window and (window.running if end else window.wants(number)):
            start = self._host.mark()
            act = window.close if end else window.before
            self._sink.attempt("operators", lambda: act(number))
            now = self._host.mark()
            self._write(records.Phase(now, RECORDING, start, number, **self._who))

    def _make(self, mode: records.Mode) -> _Step:
        look = None
        if mode == "train" and self._network and self._job.rank == 0 and self._settings.debugger:
            due = tuple(
                name
                for name, interval in self._settings.intervals.items()
                if name != LOSSES and self._number % interval == 0
            )
            look = tensors.Look(self._network, due, self._settings.raw) if due else None
        return _Step(self._sink, mode, self._number, self._epoch, Trace(self._clock), look)

    def _finish(self) -> None:
        """End the step at work, and write those that the device is done with."""
        step, self._step = self._step, None
        if step:
            self._sink.attempt("timeline", lambda: self._end(step))

    def _end(self, step: _Step) -> None:
        if step.pair and self._settings.debugger:
            self._answers.append(step.pair)
            if (step.number + 1) % self._settings.confusion_interval == 0:
                step.pairs = self._take_answers()
        step.end()
        self._waiting.append(step)
        while self._waiting and self._waiting[0].trace.reached():
            self._tell(self._waiting.popleft())

    def _tell(self, step: _Step) -> None:
        """Write all of a step that the device has done."""
        start, end, spans = step.trace.times()
        loss = float(step.loss) if step.loss is not None and self._records(LOSSES) else None
        self._write(
            records.Step(
                end, step.mode, step.number, step.epoch, start, spans, step.size, loss, **self._who
            )
        )
        self._last = end
        look = step.look
        if look:
            self._sink.attempt("tensors", lambda: self._tell_tensors(step, look, end))
        if step.pairs is not None:
            self._tell_confusion(end, step.pairs, step.number, step.epoch)

    def _tell_tensors(self, step: _Step, look: tensors.Look, at: float) -> None:
        for collection, values in look.read():
            self._write(
                records.Tensors(at, step.mode, step.number, collection, values, **self._who)
            )
        for collection, name, value in look.whole:
            told = (at, step.mode, step.number, collection, name, value.numpy())
            self._sink.write_tensor(*told)

    def _drain(self) -> None:
        """Write what still waits for the device, after waiting for it."""
        self._finish()
        if self._waiting and self._clock is not self._host:
            torch.cuda.current_stream().synchronize()
        while self._waiting:
            self._tell(self._waiting.popleft())

    # ---- phases and figures --------------------------------------------------------------------
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase of the job."""
        self._finish()
        self._begun()
        start = self._host.mark()
        try:
            yield
        finally:
            self._last = self._host.mark()
            self._write(records.Phase(self._last, name, start, self._number, **self._who))
            if name == EVALUATION:
                self._sink.attempt("timeline", self._drain)

    def scored(self, scores: "Scores") -> None:
        """Write an evaluation's confusion matrix."""
        if not self._settings.debugger:
            return
        true, answered = scores.confusion.nonzero(as_tuple=True)
        counts = scores.confusion[true, answered].tolist()
        cells = tuple(zip(true.tolist(), answered.tolist(), counts, strict=True))
        self._write(
            records.Confusion(
                self._last, "eval", self._number, self._epoch, self._classes, cells, **self._who
            )
        )

    def figures(self, figures: Mapping[str, float], epoch: int) -> None:
        """Write an epoch's metrics."""
        now = self._host.mark()
        for name, value in figures.items():
            self._write(records.Scalar(now, name, self._number, epoch, value, **self._who))

    def _begun(self) -> None:
        if not self._initialised:
            self._initialised = True
            now = self._host.mark()
            self._write(records.Phase(now, INITIALISATION, process_started(), 0, **self._who))

    def _take_answers(self) -> torch.Tensor:
        pairs = [torch.stack(pair) for pair in self._answers]
        self._answers = []
        return torch.cat(pairs, dim=1)

    def _flush_answers(self) -> None:
        """Write the rest of an epoch's answers; its end waits for the device anyway."""
        if self._answers:
            now = self._host.mark()
            self._tell_confusion(now, self._take_answers().cpu(), self._number, self._epoch)

    def _tell_confusion(self, at: float, pairs: torch.Tensor, step: int, epoch: int) -> None:
        counts = Counter(zip(*pairs.tolist(), strict=True))
        cells = tuple((int(a), int(b), n) for (a, b), n in sorted(counts.items()))
        self._write(records.Confusion(at, "train", step, epoch, self._classes, cells, **self._who))

    def _records(self, collection: str) -> bool:
        return self._settings.debugger and collection in self._settings.intervals

    def _write(self, record: records.Record) -> None:
        self._sink.write(record)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"

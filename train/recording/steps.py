"""The steps of a recorded job: each is written once the device has finished it."""

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from debugger import records
from debugger.records import DATA_WAIT, FORWARD, INPUTS, LOSSES, OPTIMIZER, RECORDING
from train.batches.batch import Batch
from train.recording import hooks, tensors
from train.recording.mistakes import Mistakes
from train.recording.operators import Window
from train.recording.settings import Settings
from train.recording.sink import Sink
from train.recording.timeline import Clock, HostClock, Trace


@dataclass
class Step(hooks.Step):
    """A step and its results; it is written once the device has finished it."""

    sink: Sink
    mode: records.Mode
    number: int
    epoch: int
    trace: Trace[Any]
    probe: tensors.TensorProbe | None
    size: int = 0
    loss: torch.Tensor | None = None
    rate: float | None = None
    mistakes: Mistakes | None = None  # where wrong answers of an evaluation are collected
    pair: tuple[torch.Tensor, torch.Tensor] | None = None  # labels and answers
    probed: bool = False  # only the first part of an accumulated step is probed
    pairs: torch.Tensor | None = None  # int64 [2, n], of this and earlier steps, if due

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the phase; probe activations in the forward pass, the rest around the optimizer."""
        probe = self.probe
        if probe and name == OPTIMIZER:
            with self.trace.phase(RECORDING):
                self.sink.attempt("tensors", probe.before_optimizer)
        with self._probing(name), self.trace.phase(name):
            yield
        if probe and name == OPTIMIZER:
            with self.trace.phase(RECORDING):
                self.sink.attempt("tensors", probe.after_optimizer)

    def result(self, loss: torch.Tensor, labels: torch.Tensor, answers: torch.Tensor) -> None:
        """Store them on the device."""
        self.loss, self.pair = loss.detach(), (labels, answers)

    def learning_rate(self, value: float) -> None:
        """Store it."""
        self.rate = value

    def answers(self, batch: Batch, logits: torch.Tensor) -> None:
        """Collect the wrong ones."""
        if mistakes := self.mistakes:
            self.sink.attempt("pictures", lambda: mistakes.add(batch, logits))

    def end(self) -> None:
        """Start to copy the results to the host; the copy ends before the step's last mark."""
        with self.trace.phase(RECORDING) if self.probe or self.pairs is not None else nullcontext():
            if self.loss is not None:
                self.loss = self.loss.to("cpu", non_blocking=True)
            if self.pairs is not None:
                self.pairs = self.pairs.to("cpu", non_blocking=True)
            if self.probe:
                self.sink.attempt("tensors", self.probe.fetch)
        self.trace.end()

    def _probing(self, name: str) -> AbstractContextManager[None]:
        if not self.probe or name != FORWARD or self.probed:
            return nullcontext()
        self.probed = True
        return self.probe.forward(
            lambda: self.trace.phase(RECORDING), lambda act: self.sink.attempt("tensors", act)
        )


@dataclass
class Steps:
    """Times the steps of a job, and probes the tensors of some of them.

    `number` and `epoch` are those of the current or last training step; `last` is the time at which
    it ended. `network` is the network whose tensors are recorded, in the main process only.
    """

    sink: Sink
    settings: Settings
    source: dict[str, Any]
    host: HostClock
    clock: Clock[Any]
    window: Window | None
    network: nn.Module | None = None
    scaled: bool = False  # whether loss and gradients are scaled, for float16
    classes: int = 0
    number: int = 0
    epoch: int = 0
    last: float = 0.0
    _mistakes: Mistakes = field(default_factory=Mistakes)
    _step: Step | None = None  # the current one
    _waiting: deque[Step] = field(default_factory=deque)  # not yet finished by the device
    _answers: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    def follow(
        self, mode: records.Mode, batches: Iterable[Batch], epoch: int = 0, first: int = 0
    ) -> Iterator[tuple[hooks.Step, Batch]]:
        """Yield batches with their steps; each is written once the device has finished it."""
        training = mode == "train"
        if training:
            self.number, self.epoch = max(0, first - 1), epoch
        self.sink.attempt("timeline", self._anchor)
        iterator = iter(batches)
        for number in itertools.count(first):
            if training:
                self._profile(number)
            step = self._make(mode, number if training else self.number)
            with step.trace.phase(DATA_WAIT):
                batch = next(iterator, None)
            if batch is None:
                break
            self.number = step.number
            step.size = len(batch.labels)
            self._step = step
            yield step, batch
            self.finish()
        if training:
            self._profile(number, end=True)
            self.sink.attempt("timeline", self._flush_answers)

    def _anchor(self) -> None:
        self.drain()  # a clock that is set again has no times for earlier marks
        self.clock.anchor()

    def _profile(self, number: int, *, end: bool = False) -> None:
        """Start or end torch.profiler before step `number`, if that is due."""
        window = self.window
        if window and (window.running if end else window.is_due(number)):
            start = self.host.mark()
            act = window.close if end else window.toggle
            self.sink.attempt("operators", lambda: act(number))
            now = self.host.mark()
            self.sink.write(records.Phase(now, RECORDING, start, number, **self.source))

    def _make(self, mode: records.Mode, number: int) -> Step:
        probe = None
        if mode == "train" and self.network and self.settings.debugger:
            due = tuple(
                name
                for name, interval in self.settings.intervals.items()
                if name != LOSSES and number % interval == 0
            )
            probe = self._probe(self.network, due) if due else None
        step = Step(self.sink, mode, number, self.epoch, Trace(self.clock), probe)
        if mode == "eval" and self._records(INPUTS):
            step.mistakes = self._mistakes
        return step

    def _probe(self, network: nn.Module, due: tuple[str, ...]) -> tensors.TensorProbe:
        return tensors.TensorProbe(network, due, self.settings.raw, scaled=self.scaled)

    def finish(self) -> None:
        """End the current step, and write the steps that the device has finished."""
        step, self._step = self._step, None
        if step:
            self.sink.attempt("timeline", lambda: self._end(step))

    def _end(self, step: Step) -> None:
        if step.pair and self.settings.debugger:
            self._answers.append(step.pair)
            if (step.number + 1) % self.settings.confusion_interval == 0:
                step.pairs = self._take_answers()
        step.end()
        self._waiting.append(step)
        while self._waiting and self._waiting[0].trace.reached():
            self._write(self._waiting.popleft())

    def _write(self, step: Step) -> None:
        """Write all records of a step that the device has finished."""
        start, end, spans = step.trace.times()
        loss = float(step.loss) if step.loss is not None and self._records(LOSSES) else None
        self.sink.write(
            records.Step(
                end,
                step.mode,
                step.number,
                step.epoch,
                start,
                spans,
                step.size,
                loss,
                step.rate,
                **self.source,
            )
        )
        self.last = end
        probe = step.probe
        if probe:
            self.sink.attempt("tensors", lambda: self._write_tensors(step, probe, end))
        if step.pairs is not None:
            self._write_answers(end, step.pairs)

    def _write_tensors(self, step: Step, probe: tensors.TensorProbe, at: float) -> None:
        for collection, values in probe.read():
            self.sink.write(
                records.Tensors(at, step.mode, step.number, collection, values, **self.source)
            )
        for collection, name, value in probe.whole:
            self.sink.write_tensor(at, step.mode, step.number, collection, name, value.numpy())

    def end(self) -> None:
        """Write everything that is left, at the end of the job."""
        self.drain()
        self._profile(self.number + 1, end=True)
        self._flush_answers()

    def drain(self) -> None:
        """Wait for the device, and write all steps."""
        self.finish()
        if self._waiting and self.clock is not self.host:
            torch.cuda.current_stream().synchronize()
        while self._waiting:
            self._write(self._waiting.popleft())

    def _take_answers(self) -> torch.Tensor:
        pairs = [torch.stack(pair) for pair in self._answers]
        self._answers = []
        return torch.cat(pairs, dim=1)

    def _flush_answers(self) -> None:
        """Write the remaining answers of an epoch, whose end waits for the device anyway."""
        if self._answers:
            now = self.host.mark()
            self._write_answers(now, self._take_answers().cpu())

    def _write_answers(self, at: float, pairs: torch.Tensor) -> None:
        counts = Counter(zip(*pairs.tolist(), strict=True))
        self.write_confusion("train", at, tuple((a, b, n) for (a, b), n in sorted(counts.items())))

    def write_confusion(
        self,
        mode: records.Mode,
        at: float,
        cells: tuple[tuple[int, int, int], ...],
        split: str = "",
    ) -> None:
        """Write a confusion matrix as (label, answer, pictures), and the wrong pictures."""
        known = (self.number, self.epoch, self.classes)
        self.sink.write(records.Confusion(at, mode, *known, cells, split, **self.source))
        for item in self._mistakes.take() if mode == "eval" else ():
            self.sink.write(
                records.Mistake(
                    at,
                    split,
                    item.name,
                    item.truth,
                    item.answer,
                    item.probability,
                    item.thumbnail,
                    **self.source,
                )
            )

    def _records(self, collection: str) -> bool:
        return self.settings.debugger and collection in self.settings.intervals

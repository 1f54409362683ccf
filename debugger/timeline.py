"""Where the time of a process went; used by both the rules and the report."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from debugger import records
from debugger.records import Phase, Record, Step


@dataclass(frozen=True)
class TimeSplit:
    """Seconds of one process: `total` is initialisation + loop + finalisation.

    The loop is data wait, copy, features, forward, backward, optimizer, recording, evaluation,
    checkpoint and other. `train` is the training steps without data wait and recording, and the
    features that they train on. `outside` is the time of the loop that is neither TRAIN nor EVAL:
    data wait, checkpoints, recording and other. Time is never counted twice: a data wait is free
    while the device still computes.
    """

    start: float = 0.0  # seconds since 1970
    end: float = 0.0
    initialisation: float = 0.0
    data_wait: float = 0.0
    copy: float = 0.0
    features: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    optimizer: float = 0.0
    recording: float = 0.0
    evaluation: float = 0.0
    checkpoint: float = 0.0
    finalisation: float = 0.0
    train: float = 0.0
    total: float = 0.0

    @property
    def loop(self) -> float:
        """From the first step's data wait to the end of the last step or evaluation."""
        return max(0.0, self.total - self.initialisation - self.finalisation)

    @property
    def other(self) -> float:
        """The time of the loop that belongs to no phase."""
        known: float = sum(getattr(self, name) for name in LOOP_PHASES)
        return max(0.0, self.loop - known)

    @property
    def outside(self) -> float:
        """The time of the loop that is neither TRAIN nor EVAL."""
        return max(0.0, self.loop - self.train - self.evaluation)

    def figures(self) -> dict[str, float]:
        """Return all figures by name, in seconds."""
        figures = {item.name: float(getattr(self, item.name)) for item in fields(self)}
        return figures | {"loop": self.loop, "other": self.other, "outside": self.outside}


LOOP_PHASES = (
    records.FEATURES,
    *records.STEP_PHASES,
    records.RECORDING,
    records.EVALUATION,
    records.CHECKPOINT,
)
OCCASIONAL = (records.FEATURES, records.RECORDING)  # phases that many jobs do not have


@dataclass
class Timeline:
    """Adds up the time of one process from its records, over all its starts."""

    _sums: dict[str, float] = field(default_factory=dict)
    _first_start: float | None = None  # when the process started for the first time
    _start: float | None = None  # when the process started this time
    _loop: float | None = None  # when the loop began
    _worked: float | None = None  # when the last step or evaluation ended
    _busy: float = 0.0  # time up to here already belongs to a phase
    _stepped: float = 0.0  # time up to here already belongs to a step
    _evaluated: float = 0.0  # seconds of evaluation steps without a Phase record yet
    _saved: float = 0.0  # seconds of checkpoints since the last step; perhaps part of finalisation
    _end: float = 0.0

    @classmethod
    def of(cls, stream: Iterable[Record], host: str = "algo-1", rank: int = 0) -> TimeSplit:
        """Return the time split of one process."""
        timeline = cls()
        for record in stream:
            if record.host == host and record.rank == rank:
                timeline.add(record)
        return timeline.split()

    def add(self, record: Record) -> None:
        """Add a record of the process."""
        if isinstance(record, records.Start):
            self._close(finished=False)
            self._open(record.process_started)
        elif self._start is None:
            self._open(getattr(record, "start", record.at))
        if isinstance(record, Step):
            self._step(record)
        elif isinstance(record, Phase):
            self._phase(record)
        self._end = max(self._end, record.at)
        if isinstance(record, records.End):
            self._close(finished=True)

    def split(self) -> TimeSplit:
        """Return the split so far. Without an End record there is no finalisation."""
        ahead = Timeline(**vars(self) | {"_sums": dict(self._sums)})
        ahead._close(finished=False)
        return TimeSplit(start=self._first_start or 0.0, end=self._end, **ahead._sums)

    def _open(self, start: float) -> None:
        self._start = self._end = self._busy = self._stepped = start
        self._first_start = start if self._first_start is None else self._first_start
        self._loop = self._worked = None
        self._saved = self._evaluated = 0.0

    def _close(self, *, finished: bool) -> None:
        """Add up this start; time after its last step is finalisation if the process finished."""
        if self._start is None:
            return
        loop = self._end if self._loop is None else self._loop
        worked = self._end if self._worked is None or not finished else self._worked
        self._count("total", self._end - self._start)
        self._count(records.INITIALISATION, loop - self._start)
        self._count(records.FINALISATION, self._end - worked)
        if not finished:
            self._count(records.CHECKPOINT, self._saved)
        self._count(records.EVALUATION, self._evaluated)
        self._start = None

    def _work(self, start: float, end: float) -> None:
        if self._loop is None:
            self._loop = start
        self._worked = max(self._worked or end, end)
        self._count(records.CHECKPOINT, self._saved)
        self._saved = 0.0

    def _step(self, step: Step) -> None:
        self._work(step.start, step.at)
        seconds = max(0.0, step.at - max(step.start, self._stepped))
        self._stepped = max(self._stepped, step.at)
        if step.mode == "eval":
            self._evaluated += seconds  # the Phase record of the evaluation will replace them
            return
        for span in step.spans:
            taken = span.seconds  # recording is a sum of pieces from the whole step
            if span.name != records.RECORDING:
                taken = self._take(span.start, span.start + span.seconds)
            self._count(span.name, taken)
            if span.name in (records.DATA_WAIT, records.RECORDING):
                seconds -= taken
        self._count("train", seconds)

    def _phase(self, phase: Phase) -> None:
        if phase.name == records.INITIALISATION:
            self._loop = phase.at
        elif phase.name == records.EVALUATION:
            self._work(phase.start, phase.at)
            self._count(records.EVALUATION, self._take(phase.start, phase.at))
            self._evaluated = 0.0
        elif phase.name == records.FEATURES:  # part of training, before the steps
            self._work(phase.start, phase.at)
            taken = self._take(phase.start, phase.at)
            self._count("train", taken)
            self._count(records.FEATURES, taken)
        elif phase.name == records.CHECKPOINT:
            self._saved += self._take(phase.start, phase.at)
        elif phase.name == records.FINALISATION:
            self._work(phase.start, phase.start)

    def _take(self, start: float, end: float) -> float:
        """Return the seconds of an interval that no phase has yet, and mark them as used."""
        taken = max(0.0, end - max(start, self._busy))
        self._busy = max(self._busy, end)
        return taken

    def _count(self, name: str, seconds: float) -> None:
        known = TimeSplit.__dataclass_fields__
        if name in known:
            self._sums[name] = self._sums.get(name, 0.0) + max(0.0, seconds)

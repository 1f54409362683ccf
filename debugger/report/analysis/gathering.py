"""Reads a recording once and stores what the report needs."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeVar

from debugger.records import (
    Best,
    Confusion,
    End,
    Mistake,
    Note,
    Operators,
    Phase,
    Record,
    Scalar,
    Start,
    Statistics,
    Step,
    System,
    Tensors,
    Trial,
)
from debugger.timeline import Timeline

Process = tuple[str, int]
R = TypeVar("R", bound=Record)


@dataclass
class Gathered:
    """The records of a recording by kind; call `add` with each record, by time."""

    starts: list[Start] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)  # training steps only
    phases: list[Phase] = field(default_factory=list)
    scalars: list[Scalar] = field(default_factory=list)
    systems: list[System] = field(default_factory=list)
    operators: list[Operators] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    best: Best | None = None  # of the last start
    trials: list[Trial] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    _last_confusion: Confusion | None = None  # of the last evaluation
    _best_confusion: tuple[float, Confusion] | None = None  # the first with the highest accuracy
    # By collection and name, in order of appearance: (step, statistics) of the lowest rank.
    tensors: dict[tuple[str, str], list[tuple[int, Statistics]]] = field(default_factory=dict)
    tensor_steps: set[int] = field(default_factory=set)
    seen: dict[Process, tuple[float, float]] = field(default_factory=dict)
    timelines: dict[Process, Timeline] = field(default_factory=dict)
    _tensor_rank: int | None = None

    def add(self, record: Record) -> None:
        """Store a record."""
        process = (record.host, record.rank)
        first, last = self.seen.get(process, (record.at, record.at))
        self.seen[process] = (min(first, record.at), max(last, record.at))
        self.timelines.setdefault(process, Timeline()).add(record)
        match record:
            case Step(mode="train"):
                self.steps.append(record)
            case System():
                self.systems.append(record)
            case Tensors(mode="train"):
                self._add_tensors(record)
            case Scalar():
                self.scalars.append(record)
            case Phase():
                self.phases.append(record)
            case Confusion():
                self._add_confusion(record)
            case Trial():
                self.trials.append(record)
            case Mistake():
                self.mistakes.append(record)
            case Best():
                self.best = record
            case Start():
                self.starts.append(record)
            case End():
                self.ends.append(record)
            case Operators():
                self.operators.append(record)
            case Note():
                self.notes.append(record)

    def _add_confusion(self, record: Confusion) -> None:
        if record.mode != "eval" and self._last_confusion is not None:
            return
        self._last_confusion = record
        total = sum(pictures for _, _, pictures in record.counts)
        right = sum(pictures for truth, answer, pictures in record.counts if truth == answer)
        if record.mode == "eval" and record.split != "test" and total:
            known = self._best_confusion
            if known is None or right / total > known[0]:
                self._best_confusion = (right / total, record)

    @property
    def confusion(self) -> Confusion | None:
        """The last one, or that of the best epoch if it is known and no test came after it."""
        last, best = self._last_confusion, self._best_confusion
        if last is None or best is None or self.best is None or last.split != "validation":
            return last
        chosen = best[1].epoch == self.best.epoch - 1
        return best[1] if chosen and last.epoch != self.best.epoch - 1 else last

    def _add_tensors(self, record: Tensors) -> None:
        if self._tensor_rank is None:
            self._tensor_rank = record.rank
        if record.rank != self._tensor_rank:
            return
        self.tensor_steps.add(record.step)
        for name, statistics in record.values.items():
            key = (record.collection, name)
            self.tensors.setdefault(key, []).append((record.step, statistics))

    @property
    def processes(self) -> list[Process]:
        """All processes, lowest rank (the main process) first."""
        return sorted(self.seen, key=lambda item: (item[1], item[0]))

    @property
    def main_process(self) -> Process:
        """The process with the lowest rank; the time split and the curves are from it."""
        return self.processes[0]

    @property
    def began(self) -> float:
        """When the first process of the job was started."""
        firsts = [first for first, _ in self.seen.values()]
        return min([*(item.process_started for item in self.starts), *firsts])

    @property
    def last_sign(self) -> float:
        """The time of the last record."""
        return max(last for _, last in self.seen.values())

    def by_process(self) -> dict[Process, list[Step]]:
        """Training steps of each process."""
        found: dict[Process, list[Step]] = defaultdict(list)
        for step in self.steps:
            found[step.host, step.rank].append(step)
        return found

    def of_main_process(self, records: list[R]) -> list[R]:
        """Return the records of the main process."""
        return [item for item in records if (item.host, item.rank) == self.main_process]


def label(host: str, rank: int) -> str:
    """Return the name of a process to show."""
    return f"{host}, rank {rank}"

"""One pass over a recording, keeping what the report needs of it."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeVar

from debugger.records import (
    Confusion,
    End,
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
)
from debugger.timeline import Timeline

Process = tuple[str, int]
R = TypeVar("R", bound=Record)


@dataclass
class Gathered:
    """A recording's records by kind; feed it each one, by time, with `see`."""

    starts: list[Start] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)  # of training
    phases: list[Phase] = field(default_factory=list)
    scalars: list[Scalar] = field(default_factory=list)
    systems: list[System] = field(default_factory=list)
    operators: list[Operators] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    confusion: Confusion | None = None  # the last evaluation's
    # By collection and name, in order of appearance: (step, statistics), the lowest rank's.
    tensors: dict[tuple[str, str], list[tuple[int, Statistics]]] = field(default_factory=dict)
    tensor_steps: set[int] = field(default_factory=set)
    seen: dict[Process, tuple[float, float]] = field(default_factory=dict)
    timelines: dict[Process, Timeline] = field(default_factory=dict)
    _tensor_rank: int | None = None

    def see(self, record: Record) -> None:
        """Keep what is needed of a record."""
        process = (record.host, record.rank)
        first, last = self.seen.get(process, (record.at, record.at))
        self.seen[process] = (min(first, record.at), max(last, record.at))
        self.timelines.setdefault(process, Timeline()).see(record)
        match record:
            case Step(mode="train"):
                self.steps.append(record)
            case System():
                self.systems.append(record)
            case Tensors(mode="train"):
                self._see_tensors(record)
            case Scalar():
                self.scalars.append(record)
            case Phase():
                self.phases.append(record)
            case Confusion():
                if record.mode == "eval" or self.confusion is None:
                    self.confusion = record
            case Start():
                self.starts.append(record)
            case End():
                self.ends.append(record)
            case Operators():
                self.operators.append(record)
            case Note():
                self.notes.append(record)

    def _see_tensors(self, record: Tensors) -> None:
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
        """All processes, the chief (lowest rank) first."""
        return sorted(self.seen, key=lambda one: (one[1], one[0]))

    @property
    def chief(self) -> Process:
        """The process that speaks for the job."""
        return self.processes[0]

    @property
    def began(self) -> float:
        """When the job's first process was started."""
        firsts = [first for first, _ in self.seen.values()]
        return min([*(one.process_started for one in self.starts), *firsts])

    @property
    def last_sign(self) -> float:
        """When anything was recorded last."""
        return max(last for _, last in self.seen.values())

    def by_process(self) -> dict[Process, list[Step]]:
        """Training steps of each process."""
        found: dict[Process, list[Step]] = defaultdict(list)
        for step in self.steps:
            found[step.host, step.rank].append(step)
        return found

    def of_chief(self, records: list[R]) -> list[R]:
        """Those of the chief alone."""
        return [one for one in records if (one.host, one.rank) == self.chief]


def label(host: str, rank: int) -> str:
    """Return a process's name for people."""
    return f"{host}, rank {rank}"

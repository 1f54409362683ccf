"""Writes a recording as TensorBoard event files, without TensorFlow.

There is one run per process, with the curves `loss/train`, `validation/loss`, `time/forward`,
`system/cpu` and the statistics of each layer, such as `gradients/fc.weight/l2`. The format is in
debugger/formats/tfevents/.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

from debugger.formats.tfevents import events, tfrecord
from debugger.formats.tfevents.events import Event, Value
from debugger.records import STEP_PHASES, Phase, Record, Scalar, Step, System, Tensors

Figure = tuple[str, float]


def to_tensorboard(records: Iterable[Record], folder: Path) -> None:
    """Write records into a folder for `tensorboard --logdir`; existing files are replaced."""
    runs: dict[tuple[str, int], _Run] = {}
    try:
        for record in records:
            run = runs.get((record.host, record.rank))
            if run is None:
                run = runs[record.host, record.rank] = _Run.begin(folder, record)
            run.add(record)
    finally:
        for run in runs.values():
            run.file.close()


@dataclasses.dataclass
class _Run:
    file: BinaryIO
    step: int = 0  # the last step; samples of the host have no step

    @classmethod
    def begin(cls, folder: Path, record: Record) -> Self:
        place = folder / f"{record.host}-{record.rank}"
        place.mkdir(parents=True, exist_ok=True)
        file = (place / "events.out.tfevents.kennel").open("wb")
        file.write(tfrecord.frame(events.file_version(record.at), smdebug=False))
        return cls(file)

    def add(self, record: Record) -> None:
        self.step = getattr(record, "step", self.step)
        values = tuple(Value(tag, number=number) for tag, number in _figures(record))
        if values:
            event = Event(record.at, self.step, values)
            self.file.write(tfrecord.frame(events.encode(event), smdebug=False))


def _figures(record: Record) -> Iterator[Figure]:
    match record:
        case Step():
            if record.loss is not None:
                yield f"loss/{record.mode}", record.loss
            if record.spans:
                yield f"time/{record.mode}_step", record.seconds
            if record.mode == "train":
                for phase in STEP_PHASES:
                    if any(span.name == phase for span in record.spans):
                        yield f"time/{phase}", record.took(phase)
        case Phase():
            yield f"time/{record.name}", record.seconds
        case Scalar():
            yield record.name.replace(":", "/"), record.value
        case System():
            for name, value in record.values.items():
                yield f"system/{name}", value
        case Tensors(mode="train"):
            for name, statistics in record.values.items():
                for field in dataclasses.fields(statistics):
                    value = getattr(statistics, field.name)
                    if value is not None and field.name != "size":
                        yield f"{record.collection}/{name}/{field.name}", value

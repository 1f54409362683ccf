"""Reads the tensor folder of smdebug as records.

    collections/000000000/worker_0_collections.json      which tensors there are, by collection
    events/000000000010/000000000010_worker_0.tfevents   the tensors of a step, complete or reduced
    index/000000000/000000000010_worker_0.json           the position of each tensor; shapes
    training_job_end.ts                                  written at the end, except on SageMaker

The number of a file counts training and evaluation steps together; a tensor has its mode and its
step in that mode. A file has the suffix `.tmp` while it is written. Source:
smdebug/core/locations.py, core/tfevent/.
"""

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from debugger.formats.smdebug import names
from debugger.formats.smdebug.names import Names
from debugger.formats.smdebug.statistics import statistics
from debugger.formats.tfevents import events, tfrecord
from debugger.formats.tfevents.wire import Damaged
from debugger.records import LOSSES, Mode, Record, Scalar, Statistics, Step, Tensors

_EVENTS = re.compile(r"(?P<step>\d+)_(?P<worker>.+)\.tfevents(\.tmp)?")
_RANK = re.compile(r"worker_(\d+)")
_EVAL, _PREDICT = "2", "3"  # ModeKeys of smdebug; 1 is TRAIN, 4 is GLOBAL (no mode was set)
_JSON = 64 << 20  # larger collections and index files are ignored
Key = tuple[int, Mode, int]  # a step: rank, mode, and its number in that mode


@dataclass(frozen=True)
class _Tensor:
    """A tensor of a step: complete, or some of its reductions."""

    at: float
    complete: Statistics | None = None
    mean: float = math.nan  # of all elements; for a loss, the loss
    reductions: dict[str, float] = field(default_factory=dict)

    def statistics(self, size: int) -> Statistics:
        if self.complete:
            return self.complete
        reduced = self.reductions
        mean_abs = reduced.get("abs_mean", math.nan)
        l1 = reduced.get("l1", reduced.get("abs_sum", math.nan))
        # A reduction is not finite if an element is not; it does not say how many are not.
        finite = all(map(math.isfinite, reduced.values()))
        return Statistics(
            mean=reduced.get("mean", math.nan),
            std=reduced["std"] if "std" in reduced else _root(reduced.get("variance", math.nan)),
            min=reduced.get("min", math.nan),
            max=reduced.get("max", math.nan),
            l2=reduced.get("l2", reduced.get("abs_l2", math.nan)),
            mean_abs=mean_abs if not math.isnan(mean_abs) or not size else l1 / size,
            zeros=math.nan,
            nonfinite=0.0 if finite else 1 / size if size else 1.0,
            size=size,
        )


@dataclass(frozen=True)
class StepTensors:
    """All tensors that a worker wrote in one step."""

    rank: int
    mode: Mode
    mode_step: int
    number: int  # counts training and evaluation steps together
    tensors: dict[str, _Tensor]

    @property
    def key(self) -> Key:
        """The step, as the timeline counts steps."""
        return self.rank, self.mode, self.mode_step

    @property
    def step(self) -> int:
        """The step as a recording counts it: for an evaluation, the training step before it."""
        return self.mode_step if self.mode == "train" else max(0, self.number - self.mode_step - 1)


def workers(folder: Path) -> list[str]:
    """Return the workers that wrote tensors."""
    found = (_EVENTS.fullmatch(path.name) for path in folder.glob("events/*/*"))
    return sorted({match["worker"] for match in found if match})


def read_losses(folder: Path) -> dict[Key, float]:
    """Return the first loss of each step, if an index file lists a loss."""
    known = read_names(folder)
    found: dict[Key, float] = {}
    for path in sorted(folder.glob("index/*/*.json")):
        event_file = folder / "events" / path.stem.split("_")[0] / f"{path.stem}.tfevents"
        for item in _list(path, "tensor_payload"):
            name, start = str(item.get("tensorname")), item.get("start_idx")
            if (
                known.to_recording(name).collection == LOSSES
                and isinstance(start, int)
                and start >= 0
            ):
                records = itertools.islice(tfrecord.records(event_file, start), 1)
                for step_tensors in _steps(event_file, records):
                    for tensor in step_tensors.tensors.values():
                        found.setdefault(step_tensors.key, tensor.mean)
    return found


def read(
    folder: Path, worker: str, hosts: Mapping[int, str], unplaced: Mapping[Key, float]
) -> Iterator[Record]:
    """Yield the records of a worker, in the order of writing; `hosts` maps ranks to hosts.

    `unplaced` has the losses of steps that are in no timeline: they become Steps without times.
    """
    known = read_names(folder)
    for path in _event_files(folder, worker):
        sizes = _sizes(folder, path)
        for step_tensors in _steps(path, tfrecord.records(path)):
            for record in _records(step_tensors, known, sizes, unplaced):
                yield dataclasses.replace(record, host=hosts.get(step_tensors.rank, record.host))


def read_names(folder: Path) -> Names:
    """Return the tensor names, from the collections of all workers."""
    collections: dict[str, set[str]] = {}
    for path in sorted(folder.glob("collections/*/*collections.json*")):
        given = _json(path).get("collections")
        for name, collection in given.items() if isinstance(given, dict) else ():
            listed = collection.get("tensor_names") if isinstance(collection, dict) else None
            if isinstance(listed, list):
                collections.setdefault(name, set()).update(map(str, listed))
    return Names.of({name: sorted(tensors) for name, tensors in sorted(collections.items())})


def ended(folder: Path) -> bool:
    """Whether the job (or SageMaker) marked the end of the job."""
    return (folder / "training_job_end.ts").exists()


def _event_files(folder: Path, worker: str) -> list[Path]:
    found = []
    for path in folder.glob("events/*/*"):
        match = _EVENTS.fullmatch(path.name)
        if match and match["worker"] == worker:
            found.append((int(match["step"]), path))
    return [path for _, path in sorted(found)]


def _steps(path: Path, written: Iterable[memoryview]) -> list[StepTensors]:
    """Return the steps in an event file: usually one, and more if scalars were saved late."""
    match = _EVENTS.fullmatch(path.name)
    rank = _RANK.fullmatch(match["worker"]) if match else None
    found: dict[tuple[Mode, int], StepTensors] = {}
    for message in written:
        try:
            event = events.decode(message)
            for value in event.values:
                if value.tensor is None:
                    continue
                mode: Mode = "eval" if value.plugins.get("mode") in (_EVAL, _PREDICT) else "train"
                mode_step = int(value.plugins.get("mode_step", event.step))
                step_tensors = found.setdefault(
                    (mode, mode_step),
                    StepTensors(int(rank[1]) if rank else 0, mode, mode_step, event.step, {}),
                )
                _add(step_tensors, event.at, value)
        except ValueError:  # Damaged, or the step is not a number
            continue
    return list(found.values())


def _add(step_tensors: StepTensors, at: float, value: events.Value) -> None:
    assert value.tensor is not None
    name, reduction = names.reduction(value.tag)
    before = step_tensors.tensors.get(name, _Tensor(at))
    if not reduction:
        tensor = value.tensor
        step_tensors.tensors[name] = _Tensor(
            at, statistics(tensor), _mean(tensor), before.reductions
        )
        return
    if value.tensor.size != 1:
        raise Damaged(f"a reduction with {value.tensor.size} elements")
    reductions = {**before.reductions, reduction: float(np.real(value.tensor.reshape(-1)[0]))}
    step_tensors.tensors[name] = _Tensor(at, before.complete, before.mean, reductions)


def _records(
    step_tensors: StepTensors, known: Names, sizes: Mapping[str, int], unplaced: Mapping[Key, float]
) -> Iterator[Record]:
    rank, mode, step = step_tensors.rank, step_tensors.mode, step_tensors.step
    collections: dict[str, dict[str, Statistics]] = {}
    losses, last = [], 0.0
    for tensor, found in step_tensors.tensors.items():
        name = known.to_recording(tensor)
        if name.collection == LOSSES and found.complete:
            losses.append((found.at, tensor, found.mean))
        elif name.collection == names.SCALARS and found.complete:
            yield Scalar(found.at, name.name, step, 0, found.mean, rank=rank)
        else:
            tensors = collections.setdefault(name.collection, {})
            tensors[name.name] = found.statistics(sizes.get(tensor, 0))
            last = max(last, found.at)
    for count, (at, tensor, loss) in enumerate(losses):
        if count:
            yield Scalar(at, tensor, step, 0, loss, rank=rank)
        elif step_tensors.key in unplaced:
            yield Step(at, mode, step, 0, at, (), 0, loss, rank=rank)
    for collection, tensors in collections.items():
        yield Tensors(last, mode, step, collection, tensors, rank=rank)


def _sizes(folder: Path, path: Path) -> dict[str, int]:
    """Return the sizes of tensors, from the shapes in the index of the step."""
    stem = path.name.partition(".")[0]
    index = folder / "index" / f"{int(stem.split('_')[0]) // 1000:09d}" / f"{stem}.json"
    sizes = {}
    for item in _list(index, "shape_payload"):
        shape = item.get("shape")
        if isinstance(shape, list) and all(isinstance(n, int) and n >= 0 for n in shape):
            sizes[str(item.get("tensorname"))] = math.prod(shape)
    return sizes


def _root(variance: float) -> float:
    return math.sqrt(variance) if variance >= 0 else math.nan


def _mean(tensor: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        return float(np.real(tensor).astype(np.float64).mean()) if tensor.size else math.nan


def _list(path: Path, name: str) -> list[dict[str, object]]:
    listed = _json(path).get(name)
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _json(path: Path) -> dict[str, object]:
    """Return a JSON object; an empty one if the file is missing or damaged."""
    try:
        found = json.loads(path.read_text()) if path.stat().st_size < _JSON else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

"""smdebug's tensor folder as records.

    collections/000000000/worker_0_collections.json      which tensors there are, by collection
    events/000000000010/000000000010_worker_0.tfevents   what one step wrote, full or reduced
    index/000000000/000000000010_worker_0.json           where in it each tensor lies; shapes
    training_job_end.ts                                  written at the end, but not on SageMaker

The number of a file counts training and evaluation steps alike; a tensor says its mode and its
step in that mode. Files end in `.tmp` while they are written. Source: smdebug/core/locations.py,
core/tfevent/.
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

from debugger.formats import events, names, tfrecord
from debugger.formats.names import Names
from debugger.formats.statistics import statistics
from debugger.formats.wire import Damaged
from debugger.records import LOSSES, Mode, Record, Scalar, Statistics, Step, Tensors

_EVENTS = re.compile(r"(?P<step>\d+)_(?P<worker>.+)\.tfevents(\.tmp)?")
_RANK = re.compile(r"worker_(\d+)")
_TRAIN, _EVAL, _PREDICT = "1", "2", "3"  # smdebug's ModeKeys; 4 is GLOBAL: no mode was ever set
_JSON = 64 << 20  # no collections or index file is larger
Key = tuple[int, Mode, int]  # a step: rank, mode, and its number in that mode


@dataclass(frozen=True)
class _Tensor:
    """A tensor of a step as it was found: whole, or some of its reductions."""

    at: float
    whole: Statistics | None = None
    mean: float = math.nan  # of all elements: of a loss, the loss
    reductions: dict[str, float] = field(default_factory=dict)

    def statistics(self, size: int) -> Statistics:
        if self.whole:
            return self.whole
        held = self.reductions
        mean_abs, l1 = held.get("abs_mean", math.nan), held.get("l1", held.get("abs_sum", math.nan))
        # A reduction over an element that is not finite is none either; how many there were it
        # does not say.
        finite = all(map(math.isfinite, held.values()))
        return Statistics(
            mean=held.get("mean", math.nan),
            std=held["std"] if "std" in held else _root(held.get("variance", math.nan)),
            min=held.get("min", math.nan),
            max=held.get("max", math.nan),
            l2=held.get("l2", held.get("abs_l2", math.nan)),
            mean_abs=mean_abs if not math.isnan(mean_abs) or not size else l1 / size,
            zeros=math.nan,
            nonfinite=0.0 if finite else 1 / size if size else 1.0,
            size=size,
        )


@dataclass(frozen=True)
class Moment:
    """All that one worker wrote in one of its steps."""

    rank: int
    mode: Mode
    mode_step: int
    number: int  # training and evaluation steps counted alike
    tensors: dict[str, _Tensor]

    @property
    def key(self) -> Key:
        """Which step it was, as the timeline counts."""
        return self.rank, self.mode, self.mode_step

    @property
    def step(self) -> int:
        """As a recording counts: of an evaluation, the training step that it followed."""
        return self.mode_step if self.mode == "train" else max(0, self.number - self.mode_step - 1)


def workers(folder: Path) -> list[str]:
    """Return the workers that wrote."""
    found = (_EVENTS.fullmatch(path.name) for path in folder.glob("events/*/*"))
    return sorted({match["worker"] for match in found if match})


def read_losses(folder: Path) -> dict[Key, float]:
    """Return the first loss of each step, where an index says which of its tensors is one."""
    known = read_names(folder)
    found: dict[Key, float] = {}
    for path in sorted(folder.glob("index/*/*.json")):
        event_file = folder / "events" / path.stem.split("_")[0] / f"{path.stem}.tfevents"
        for one in _list(path, "tensor_payload"):
            name, start = str(one.get("tensorname")), one.get("start_idx")
            if known.ours(name).collection == LOSSES and isinstance(start, int) and start >= 0:
                records = itertools.islice(tfrecord.records(event_file, start), 1)
                for moment in _moments(event_file, records):
                    for tensor in moment.tensors.values():
                        found.setdefault(moment.key, tensor.mean)
    return found


def read(
    folder: Path, worker: str, hosts: Mapping[int, str], unplaced: Mapping[Key, float]
) -> Iterator[Record]:
    """Yield a worker's records, in the order they were written; `hosts` says where each rank ran.

    `unplaced` holds the losses of steps that no timeline has: they become Steps that have no times.
    """
    known = read_names(folder)
    for path in _event_files(folder, worker):
        sizes = _sizes(folder, path)
        for moment in _moments(path, tfrecord.records(path)):
            for record in _records(moment, known, sizes, unplaced):
                yield dataclasses.replace(record, host=hosts.get(moment.rank, record.host))


def read_names(folder: Path) -> Names:
    """Return how the tensors are called, from all workers' collections."""
    collections: dict[str, set[str]] = {}
    for path in sorted(folder.glob("collections/*/*collections.json*")):
        given = _json(path).get("collections")
        for name, collection in given.items() if isinstance(given, dict) else ():
            listed = collection.get("tensor_names") if isinstance(collection, dict) else None
            if isinstance(listed, list):
                collections.setdefault(name, set()).update(map(str, listed))
    return Names.of({name: sorted(tensors) for name, tensors in sorted(collections.items())})


def ended(folder: Path) -> bool:
    """Whether the job, or SageMaker for it, said that it ended."""
    return (folder / "training_job_end.ts").exists()


def _event_files(folder: Path, worker: str) -> list[Path]:
    found = []
    for path in folder.glob("events/*/*"):
        match = _EVENTS.fullmatch(path.name)
        if match and match["worker"] == worker:
            found.append((int(match["step"]), path))
    return [path for _, path in sorted(found)]


def _moments(path: Path, written: Iterable[memoryview]) -> list[Moment]:
    """Read an event file's records: those of one moment, but for scalars that were said late."""
    match = _EVENTS.fullmatch(path.name)
    rank = _RANK.fullmatch(match["worker"]) if match else None
    found: dict[tuple[Mode, int], Moment] = {}
    for message in written:
        try:
            event = events.decode(message)
            for value in event.values:
                if value.tensor is None:
                    continue
                mode: Mode = "eval" if value.plugins.get("mode") in (_EVAL, _PREDICT) else "train"
                mode_step = int(value.plugins.get("mode_step", event.step))
                moment = found.setdefault(
                    (mode, mode_step),
                    Moment(int(rank[1]) if rank else 0, mode, mode_step, event.step, {}),
                )
                _add(moment, event.at, value)
        except ValueError:  # Damaged, or a step that is no number
            continue
    return list(found.values())


def _add(moment: Moment, at: float, value: events.Value) -> None:
    assert value.tensor is not None
    name, reduction = names.reduction(value.tag)
    before = moment.tensors.get(name, _Tensor(at))
    if not reduction:
        tensor = value.tensor
        moment.tensors[name] = _Tensor(at, statistics(tensor), _mean(tensor), before.reductions)
        return
    if value.tensor.size != 1:
        raise Damaged(f"a reduction with {value.tensor.size} elements")
    reductions = {**before.reductions, reduction: float(np.real(value.tensor.reshape(-1)[0]))}
    moment.tensors[name] = _Tensor(at, before.whole, before.mean, reductions)


def _records(
    moment: Moment, known: Names, sizes: Mapping[str, int], unplaced: Mapping[Key, float]
) -> Iterator[Record]:
    rank, mode, step = moment.rank, moment.mode, moment.step
    collections: dict[str, dict[str, Statistics]] = {}
    losses, last = [], 0.0
    for tensor, found in moment.tensors.items():
        ours = known.ours(tensor)
        if ours.collection == LOSSES and found.whole:
            losses.append((found.at, tensor, found.mean))
        elif ours.collection == names.SCALARS and found.whole:
            yield Scalar(found.at, ours.name, step, 0, found.mean, rank=rank)
        else:
            tensors = collections.setdefault(ours.collection, {})
            tensors[ours.name] = found.statistics(sizes.get(tensor, 0))
            last = max(last, found.at)
    for count, (at, tensor, loss) in enumerate(losses):
        if count:
            yield Scalar(at, tensor, step, 0, loss, rank=rank)
        elif moment.key in unplaced:
            yield Step(at, mode, step, 0, at, (), 0, loss, rank=rank)
    for collection, tensors in collections.items():
        yield Tensors(last, mode, step, collection, tensors, rank=rank)


def _sizes(folder: Path, path: Path) -> dict[str, int]:
    """Return the sizes of tensors whose shapes the step's index holds."""
    stem = path.name.partition(".")[0]
    index = folder / "index" / f"{int(stem.split('_')[0]) // 1000:09d}" / f"{stem}.json"
    sizes = {}
    for one in _list(index, "shape_payload"):
        shape = one.get("shape")
        if isinstance(shape, list) and all(isinstance(n, int) and n >= 0 for n in shape):
            sizes[str(one.get("tensorname"))] = math.prod(shape)
    return sizes


def _root(variance: float) -> float:
    return math.sqrt(variance) if variance >= 0 else math.nan


def _mean(tensor: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        return float(np.real(tensor).astype(np.float64).mean()) if tensor.size else math.nan


def _list(path: Path, name: str) -> list[dict[str, object]]:
    listed = _json(path).get(name)
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _json(path: Path) -> dict[str, object]:
    """Return an object; an empty one where the file is gone, torn or none."""
    try:
        found = json.loads(path.read_text()) if path.stat().st_size < _JSON else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

"""A recording's tensors in smdebug's form, which `smdebug.trials.create_trial` reads.

Statistics become reductions, losses and figures whole tensors. smdebug keeps a file for each step
at which anything was saved; what it holds is told in debugger/formats/tensors.py.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from debugger.formats import events, names, tfrecord
from debugger.formats.events import Event, Value
from debugger.recording import RecordingError, load_tensor
from debugger.records import LOSSES, Mode, RawTensor, Record, Scalar, Statistics, Step, Tensors

_LOSS = "CrossEntropyLoss_output_0"
_REDUCTIONS = {"mean": "mean", "std": "std", "min": "min", "max": "max", "l2": "l2"}
_REDUCED = "mean,std,min,max,l2_norm,abs_mean"


@dataclass
class TensorWriter:
    """Writes one process's tensors; `recording` is where whole ones lie, if they are wanted."""

    folder: Path
    rank: int
    network: str
    recording: Path | None = None
    _evaluated: int = 0  # steps of evaluation
    _group: tuple[Mode, int] | None = None  # the step at hand, by its number in its mode
    _number: int = 0  # of training and evaluation steps alike, as smdebug counts them
    _values: list[tuple[float, Value]] = field(default_factory=list)
    _shapes: dict[str, list[int]] = field(default_factory=dict)
    _collections: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def see(self, record: Record) -> None:
        """Write what a record holds of tensors, losses and figures."""
        match record:
            case Step():
                self._evaluated += record.mode == "eval"
                if record.loss is not None:
                    self._begin(record.mode, record.step)
                    self._add(record.at, LOSSES, _LOSS, np.float32(record.loss))
            case Scalar():
                self._begin("train", record.step)
                self._add(record.at, "", f"scalar/{record.name}", np.float64(record.value))
            case Tensors():
                self._begin(record.mode, record.step)
                for name, statistics in record.values.items():
                    self._add_statistics(record.at, record.collection, name, statistics)
            case RawTensor() if self.recording:
                self._begin(record.mode, record.step)
                try:
                    whole = load_tensor(self.recording, record)
                except RecordingError:  # its file was lost; the others are not
                    return
                tensor = names.theirs(record.collection, record.name, self.network)
                self._add(record.at, record.collection, tensor, whole)

    def close(self, workers: int) -> None:
        """Write what is left, and the collections; `workers` is how many processes wrote."""
        self._flush()
        path = self.folder / "collections" / "000000000" / f"worker_{self.rank}_collections.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        collections = {
            name: _collection(name, sorted(self._collections.get(name, ())))
            for name in ("all", "default", *sorted(self._collections))
        }
        meta = {"num_workers": workers}
        path.write_text(json.dumps({"collections": collections, "_meta": meta}))

    def _begin(self, mode: Mode, step: int) -> None:
        mode_step = step if mode == "train" else max(0, self._evaluated - 1)
        if (mode, mode_step) != self._group:
            self._flush()
            self._group = (mode, mode_step)
            self._number = step + (self._evaluated if mode == "train" else mode_step + 1)

    def _add(self, at: float, collection: str, tensor: str, value: np.ndarray | np.generic) -> None:
        self._values.append((at, Value(tensor, np.asarray(value))))
        if collection:
            self._collections[names.collection_of(tensor, collection)].add(tensor)

    def _add_statistics(self, at: float, collection: str, name: str, held: Statistics) -> None:
        tensor = names.theirs(collection, name, self.network)
        kinds = {kind: getattr(held, of) for kind, of in _REDUCTIONS.items()}
        for kind, value in {**kinds, "abs_mean": held.mean_abs}.items():
            self._add(at, "", names.reduced(tensor, kind), np.float32(value))
        self._collections[names.collection_of(tensor, collection)].add(tensor)
        self._shapes[tensor] = [held.size]

    def _flush(self) -> None:
        """Write a step's files; a step come back to, as by a restart, is added to."""
        if not self._group or not self._values:
            return
        (mode, mode_step), number = self._group, self._number
        plugins = {"mode_step": str(mode_step), "mode": "1" if mode == "train" else "2"}
        stem = f"{number:012d}_worker_{self.rank}"
        path = self.folder / "events" / f"{number:012d}" / f"{stem}.tfevents"
        index = self.folder / "index" / f"{number // 1000:09d}" / f"{stem}.json"
        for one in (path, index):
            one.parent.mkdir(parents=True, exist_ok=True)
        written = json.loads(index.read_text()) if index.exists() else {}
        payload, shapes = written.get("tensor_payload", []), written.get("shape_payload", [])
        with path.open("ab") as file:
            for at, value in self._values:
                event = Event(at, number, (Value(value.tag, value.tensor, plugins=plugins),))
                framed = tfrecord.frame(events.encode(event), smdebug=True)
                payload.append(
                    {"tensorname": value.tag, "start_idx": file.tell(), "length": len(framed)}
                )
                file.write(framed)
        shapes += [
            {"tensorname": tensor, "originalname": tensor, "shape": shape}
            for tensor, shape in self._shapes.items()
        ]
        meta = {
            "mode": mode.upper(),
            "mode_step": mode_step,
            "event_file_name": str(path.relative_to(self.folder)),
        }
        index.write_text(
            json.dumps({"meta": meta, "tensor_payload": payload, "shape_payload": shapes})
        )
        self._values, self._shapes = [], {}


def _collection(name: str, tensors: list[str]) -> dict[str, object]:
    whole = name == LOSSES
    saved = {"save_interval": 1, "save_steps": [], "start_step": 0, "end_step": None}
    return {
        "name": name,
        "include_regex": [],
        "tensor_names": tensors,
        "reduction_config": {
            "save_raw_tensor": whole,
            "reductions": "" if whole else _REDUCED,
            "save_shape": not whole,
        },
        "save_config": dict.fromkeys(("TRAIN", "EVAL", "PREDICT", "GLOBAL"), saved),
        "save_histogram": False,
    }

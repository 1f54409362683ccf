"""Writes the tensors of a recording in smdebug's format, for `smdebug.trials.create_trial`.

Statistics become reductions; losses and metrics become complete tensors. smdebug has one file per
step in which something was saved. smdebug/tensors.py describes its content.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from debugger.formats.smdebug import names
from debugger.formats.tfevents import events, tfrecord
from debugger.formats.tfevents.events import Event, Value
from debugger.recording import RecordingError, load_tensor
from debugger.records import LOSSES, Mode, RawTensor, Record, Scalar, Statistics, Step, Tensors

_LOSS = "CrossEntropyLoss_output_0"
_REDUCTIONS = {"mean": "mean", "std": "std", "min": "min", "max": "max", "l2": "l2"}
_REDUCED = "mean,std,min,max,l2_norm,abs_mean"


@dataclass
class TensorWriter:
    """Writes the tensors of a process; `recording` is the folder with complete tensors, if any."""

    folder: Path
    rank: int
    network: str
    recording: Path | None = None
    _evaluated: int = 0  # number of evaluation steps so far
    _group: tuple[Mode, int] | None = None  # the current step: mode, and number in that mode
    _number: int = 0  # of the current step, training and evaluation counted together
    _values: list[tuple[float, Value]] = field(default_factory=list)
    _shapes: dict[str, list[int]] = field(default_factory=dict)
    _collections: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, record: Record) -> None:
        """Write the tensors, losses and metrics of a record."""
        match record:
            case Step():
                self._evaluated += record.mode == "eval"
                if record.loss is not None:
                    self._begin(record.mode, record.step)
                    self._add_value(record.at, LOSSES, _LOSS, np.float32(record.loss))
            case Scalar():
                self._begin("train", record.step)
                self._add_value(record.at, "", f"scalar/{record.name}", np.float64(record.value))
            case Tensors():
                self._begin(record.mode, record.step)
                for name, statistics in record.values.items():
                    self._add_statistics(record.at, record.collection, name, statistics)
            case RawTensor() if self.recording:
                self._begin(record.mode, record.step)
                try:
                    complete = load_tensor(self.recording, record)
                except RecordingError:  # the file is missing; write the others
                    return
                tensor = names.to_smdebug(record.collection, record.name, self.network)
                self._add_value(record.at, record.collection, tensor, complete)

    def close(self, workers: int) -> None:
        """Write the last step and the collections; `workers` is the number of processes."""
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

    def _add_value(
        self, at: float, collection: str, tensor: str, value: np.ndarray | np.generic
    ) -> None:
        self._values.append((at, Value(tensor, np.asarray(value))))
        if collection:
            self._collections[names.collection_of(tensor, collection)].add(tensor)

    def _add_statistics(
        self, at: float, collection: str, name: str, statistics: Statistics
    ) -> None:
        tensor = names.to_smdebug(collection, name, self.network)
        kinds = {kind: getattr(statistics, field) for kind, field in _REDUCTIONS.items()}
        for kind, value in {**kinds, "abs_mean": statistics.mean_abs}.items():
            self._add_value(at, "", names.reduced(tensor, kind), np.float32(value))
        self._collections[names.collection_of(tensor, collection)].add(tensor)
        self._shapes[tensor] = [statistics.size]

    def _flush(self) -> None:
        """Write the files of the step. If they exist, as after a restart, append to them."""
        if not self._group or not self._values:
            return
        (mode, mode_step), number = self._group, self._number
        plugins = {"mode_step": str(mode_step), "mode": "1" if mode == "train" else "2"}
        stem = f"{number:012d}_worker_{self.rank}"
        path = self.folder / "events" / f"{number:012d}" / f"{stem}.tfevents"
        index = self.folder / "index" / f"{number // 1000:09d}" / f"{stem}.json"
        for item in (path, index):
            item.parent.mkdir(parents=True, exist_ok=True)
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
    complete = name == LOSSES
    saved = {"save_interval": 1, "save_steps": [], "start_step": 0, "end_step": None}
    return {
        "name": name,
        "include_regex": [],
        "tensor_names": tensors,
        "reduction_config": {
            "save_raw_tensor": complete,
            "reductions": "" if complete else _REDUCED,
            "save_shape": not complete,
        },
        "save_config": dict.fromkeys(("TRAIN", "EVAL", "PREDICT", "GLOBAL"), saved),
        "save_histogram": False,
    }

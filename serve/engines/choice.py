"""Which engine serves a bundle, and in which precision: the best that proves to be right.

The candidates are tried in order. Each one must give the golden logits of training, within the
tolerance of its precision; if it does not, the log says so and the next is tried. 8 bits must also
be faster than the next.
"""

import importlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from classifier import description, golden, processor
from classifier.description import (
    ONNX,
    ONNX_INT8,
    BundleError,
    Described,
    Description,
    Export,
)
from classifier.golden import Golden
from classifier.transform import Floats
from serve import machine
from serve.engines.engine import Engine, warm
from serve.settings import Settings

log = logging.getLogger(__name__)

# The tolerance of golden logits, as a multiple of float32's: bfloat16 has 8 bits of mantissa
# instead of 24, in about fifty layers. Measured: 0.5 to 2 % of the largest logit.
_FACTORS = {"fp32": 1, "bf16": 50}
# In 8 bits the logits differ by about as much as kennel.json says. A few golden pictures are few,
# and engines round differently: measured, up to 2.3 times as much. A ResNet50 with 0.05 in
# kennel.json gave 0.21 to 1.0 when the scale of one layer was wrong by two or four.
_INT8_TIMES, _INT8_FACTOR = 2, 50
_MOST_INT8 = 0.5  # whatever kennel.json says
# How often, and for how many seconds at most, 8 bits are timed against the next precision.
_TURNS, _TURNS_S = 6, 1.0
_BEST = "the best for this machine and bundle"


@dataclass(frozen=True)
class Chosen:
    """The engine that serves a bundle.

    Args:
        description: of the bundle.
        engine: proved, and warm.
        difference: the largest from the golden logits.
        why: in one line, for the log and `/ping`.
    """

    description: Description
    engine: Engine
    difference: float
    why: str


@dataclass(frozen=True)
class _Candidate:
    engine: str
    precision: str
    tolerance: float
    make: Callable[[], Engine]

    def __str__(self) -> str:
        return f"{self.engine} in {self.precision}"


def choose(directory: Path, settings: Settings, gpu: int | None = None) -> Chosen:
    """Load a bundle, and return the best engine that gives the logits of training.

    Args:
        directory: of the bundle.
        settings: engine, precision, device, threads and batch size.
        gpu: the GPU that the model server assigned to this worker, if any.

    Raises:
        BundleError: damaged, hostile, or no engine gives its golden logits.
        ValueError: the settings ask for what this machine or bundle does not have.
    """
    with description.loading(directory):
        described = description.read(directory)
        pictures = golden.read(described)
    transform = described.description.transform
    inputs = golden.inputs(pictures.photos, transform)
    refused: list[str] = []
    candidates = _Candidates(described, settings, gpu)
    proved = _proved(candidates, pictures, inputs, settings, refused)
    found = next(proved, None)
    if found is None:
        raise BundleError(
            f"{directory} cannot be served: {'; '.join(refused)}. If these are the golden inputs, "
            "the decoder, the transform or the network is not the one that was trained"
        )
    measured = ""
    if found[0].precision == "int8" and settings.precision == "auto":
        rival = next(proved, None)
        if rival is not None:
            found, measured = _faster(found, rival, transform.crop)
    engine, difference = found
    warm(engine, transform.crop)
    why = "; ".join(filter(None, [*candidates.remarks, *refused, measured])) or _BEST
    log.info(
        "serving in %s by %s on %s, %s: %s",
        *(engine.precision, engine.name, engine.device, settings.layout, why),
    )
    return Chosen(described.description, engine, difference, why)


def _proved(
    candidates: "_Candidates",
    pictures: Golden,
    inputs: Floats,
    settings: Settings,
    refused: list[str],
) -> Iterator[tuple[Engine, float]]:
    """Yield the engines that give the golden logits, and their differences, best first."""
    for candidate in candidates.listed():
        engine, difference = _tried(candidate, pictures, inputs, settings, refused)
        if engine is not None:
            yield engine, difference


def _faster(
    one: tuple[Engine, float], other: tuple[Engine, float], side: int
) -> tuple[tuple[Engine, float], str]:
    """Return the engine that takes less time for a picture, and a sentence with both times.

    Where a processor computes bfloat16, 8 bits were 1.8 times as fast for ResNet50 and 0.6 times
    for MobileNetV3, so only the time says which to take: benchmarks/results/engines.json.
    """
    engines = (one[0], other[0])
    least = [float("inf")] * 2
    began = time.monotonic()
    for turn in range(_TURNS):
        for number, engine in enumerate(engines):
            started = time.perf_counter()
            warm(engine, side)
            if turn:  # the first of a size is slower
                least[number] = min(least[number], time.perf_counter() - started)
        if turn and time.monotonic() - began > _TURNS_S:
            break
    times = [
        f"{1e3 * seconds:.1f} ms in {engine.precision}"
        for seconds, engine in zip(least, engines, strict=True)
    ]
    return one if least[0] <= least[1] else other, f"a picture takes {' and '.join(times)}"


def preload(settings: Settings) -> None:
    """Import the libraries that the workers will probably need, before they fork."""
    directory = settings.model_dir
    has_export = False
    if not settings.multi_model and (directory / description.DESCRIPTION).is_file():
        try:
            has_export = description.describe(directory).export is not None
        except ValueError:  # the worker will say it
            return
    on_gpu = settings.gpus > 0
    if settings.engine != "torch" and machine.has("openvino") and not on_gpu:
        importlib.import_module("serve.engines.openvino_engine")
    wants_torch = on_gpu or settings.engine == "torch" or not has_export or settings.code
    if wants_torch and machine.has("torch"):
        importlib.import_module("serve.engines.torch_engine")


def _tried(
    candidate: _Candidate,
    pictures: Golden,
    inputs: Floats,
    settings: Settings,
    refused: list[str],
) -> tuple[Engine | None, float]:
    """Return the engine of a candidate and its difference; None and why, in `refused`, if wrong."""
    try:
        engine = candidate.make()
        # In a batch of the full size: the first batch of a size is slower.
        count = max(len(inputs), settings.layout.batch_size)
        batch = inputs[np.arange(count) % len(inputs)]
        difference = pictures.difference(engine.predict(batch)[: len(inputs)])
    except (BundleError, MemoryError):
        raise
    except Exception as error:
        reason = f"{candidate}: {type(error).__name__}: {str(error)[:300]}"
        refused.append(" ".join(reason.split()))
        log.warning("%s", refused[-1])
        return None, float("inf")
    if difference <= candidate.tolerance:
        return engine, difference
    refused.append(
        f"the golden inputs give logits that differ by {difference:.2g} in {candidate} "
        f"(allowed: {candidate.tolerance:.2g})"
    )
    log.warning("%s", refused[-1])
    return None, difference


class _Candidates:
    """The engines and precisions that settings, bundle and machine allow."""

    def __init__(self, described: Described, settings: Settings, gpu: int | None) -> None:
        self._described = described
        self._export = described.description.export
        self._settings = settings
        self._gpu = gpu
        self.remarks: list[str] = []

    def listed(self) -> Iterator[_Candidate]:
        """Yield the candidates, best first.

        Raises:
            BundleError: the bundle lacks what this image or the settings need.
            ValueError: a GPU is wanted and there is none.
        """
        settings = self._settings
        is_int8 = settings.precision == "int8"
        if settings.can_use_gpus and not is_int8 and (machine.gpus() or settings.device == "cuda"):
            on_gpu = list(self._torch(settings.device, "cuda"))
            yield from on_gpu
            if on_gpu:
                return
        if machine.gpus() and settings.device == "auto" and not machine.has("torch"):
            self.remarks.append("this image has no torch, which computes on GPUs")
        if is_int8 and (self._export is None or self._export.int8 is None):
            raise self._lacks(f"{ONNX_INT8}, which KENNEL_PRECISION=int8 needs")
        if settings.engine != "torch" and machine.has("openvino"):
            if self._export is not None:
                yield from self._openvino(self._export)
            elif settings.engine == "openvino" or not machine.has("torch"):
                raise self._lacks(ONNX)
            else:
                self.remarks.append(
                    f"the bundle has no {ONNX}: `kennel export` adds it and makes serving faster"
                )
        if settings.engine != "openvino" and not is_int8 and machine.has("torch"):
            yield from self._torch("cpu", "cpu")

    def _lacks(self, what: str) -> BundleError:
        message = f"{self._described.directory} has no {what}: run `kennel export BUNDLE`"
        if not machine.has("torch"):
            message += ", or serve it in the image kennel-serve: this one has no torch"
        return BundleError(message)

    def _openvino(self, export: Export) -> Iterator[_Candidate]:
        wanted, tolerance = self._settings.precision, self._settings.golden_tolerance
        pays = {"int8": True, "bf16": processor.computes_bf16(), "fp32": True}
        for precision in pays:
            if precision != wanted and not (wanted == "auto" and pays[precision]):
                continue
            if precision != "int8":
                allowed = tolerance * _FACTORS[precision]
            elif export.int8 is not None:
                allowed = _INT8_TIMES * export.int8.difference + tolerance * _INT8_FACTOR
                allowed = min(allowed, _MOST_INT8)
            else:
                continue
            yield _Candidate("openvino", precision, allowed, partial(self._compile, precision))

    def _compile(self, precision: str) -> Engine:
        from serve.engines.openvino_engine import OpenVinoEngine

        layout = self._settings.layout
        return OpenVinoEngine(self._described, precision, layout.threads, layout.batch_size)

    def _torch(self, setting: str, kind: str) -> Iterator[_Candidate]:
        """Yield torch's candidates if it computes on this kind of device."""
        from serve.engines import torch_engine

        settings = self._settings
        device = torch_engine.choose_device(setting, self._gpu)
        if device.type != kind:
            return
        layout = settings.layout
        load = cache(partial(torch_engine.load, self._described.directory))

        def make(precision: str) -> Engine:
            return torch_engine.TorchEngine(
                load(), device, layout.threads, precision, layout.batch_size
            )

        for precision in torch_engine.precisions(settings.precision, device):
            allowed = settings.golden_tolerance * _FACTORS[precision]
            yield _Candidate("torch", precision, allowed, partial(make, precision))

"""Pictures a second of the engines that could serve on processors, over architectures.

Torch as it is, torch with folded batch norms (as it serves), ONNX Runtime and OpenVINO, in float32,
bfloat16 and 8 bits, for batches of one and of eight. All sides of an architecture are in one
process and take turns in every round, so that other load slows all alike.
Weights are random, and the 8-bit files are calibrated on noise: only their speed counts here. A
side that cannot compute a network is in the results with its reason.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.engines [--rounds 5] [--networks resnet50,…]
        [--isa AVX2] [--out benchmarks/results/engines.json]

`--isa` limits the instructions of torch's and OpenVINO's oneDNN (ONEDNN_MAX_CPU_ISA) and of torch's
own kernels; ONNX Runtime has no such switch, so its columns are left out then.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch

from benchmarks import bundles
from benchmarks.measuring import (
    ISAS,
    RESULTS,
    machine_load,
    rerun_limited,
    spread,
    this_machine,
    write,
)
from classifier import bundle, inference, processor
from classifier.description import ONNX, ONNX_INT8, Described
from classifier.exporting import session
from classifier.transform import Floats
from serve import machine
from serve.engines.openvino_engine import OpenVinoEngine

NETWORKS = (
    "resnet18 resnet50 resnext50_32x4d mobilenet_v2 mobilenet_v3_large efficientnet_b0 mnasnet1_0 "
    "shufflenet_v2_x1_0 regnet_y_400mf densenet121 googlenet convnext_tiny swin_t vit_b_16"
).split()
BATCHES = (1, 8)
MEANS = "relative to torch fp32, geometric mean of the networks"
Predict = Callable[[Floats], object]
# Side: batch: spread of pictures a second.
Speeds = dict[str, dict[str, dict[str, float]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--isa", choices=ISAS, help="of oneDNN")
    parser.add_argument("--out", type=Path, default=RESULTS / "engines.json")
    options = parser.parse_args()
    if (ended := rerun_limited("benchmarks.engines", options.isa)) is not None:
        return ended
    threads = machine.cores()
    torch.set_num_threads(threads)
    contents: dict[str, object] = {
        "command": f"python -m benchmarks.engines --rounds {options.rounds} --side {options.side}"
        + (f" --networks {options.networks}" if options.networks != ",".join(NETWORKS) else "")
        + (f" --isa {options.isa}" if options.isa else ""),
        "machine": this_machine(),
        "versions": f"onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__}",
        "threads": threads,
        "load before": machine_load(),
    }
    measured: dict[str, dict[str, Any]] = {}
    loads: dict[str, float] = {}
    for name in options.networks.split(","):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            described = bundles.of_noise(name, options.side, Path(folder))
            sides, failed = {}, {}
            for side, make in all_sides(described, threads, with_ort=not options.isa):
                try:
                    sides[side] = make()
                except Exception as error:
                    failed[side] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            found = measure(sides, options.side, options.rounds)
        measured[name] = {"images/s": found}
        if failed:
            measured[name]["failed"] = failed
        loads[name] = machine_load()
        contents |= {"load after": loads, "networks": measured, MEANS: means(measured)}
        write(options.out, contents)
        shown = {one: row["batch 8"]["median"] for one, row in found.items()}
        print(f"{name} {time.perf_counter() - began:.0f} s", json.dumps(shown), flush=True)
    print(json.dumps(contents[MEANS], indent=1))
    return 0


def all_sides(
    described: Described, threads: int, *, with_ort: bool
) -> Iterator[tuple[str, Callable[[], Predict]]]:
    """Yield name and maker of the forward pass of every side that this processor computes."""
    loaded = bundle.load(described.directory)
    yield "torch fp32", lambda: bundle.on_arrays(loaded.network)
    precisions = ["fp32", "bf16"] if processor.computes_bf16() else ["fp32"]
    if os.environ.get("ONEDNN_MAX_CPU_ISA"):
        precisions = ["fp32"]
    for precision in precisions:
        yield f"folded {precision}", partial(_folded, loaded, precision)
    if with_ort:
        for precision, file in (("fp32", ONNX), ("int8", ONNX_INT8)):
            ort = partial(session.predictor, described.contents(file), flip=False)
            yield f"onnxruntime {precision}", ort
    for precision in (*precisions, "int8"):
        yield f"openvino {precision}", partial(_openvino, described, precision, threads)


def _openvino(described: Described, precision: str, threads: int) -> Predict:
    return OpenVinoEngine(described, precision, threads, max(BATCHES)).predict


def _folded(loaded: bundle.Bundle, precision: str) -> Predict:
    kind = inference.PRECISIONS[precision]
    folded = inference.prepare(loaded.network, torch.device("cpu"), kind)
    return bundle.on_arrays(lambda pixels: folded(pixels.to(kind)))


def measure(sides: dict[str, Predict], side: int, rounds: int) -> Speeds:
    """Return pictures a second of each side and batch size, in turns."""
    inputs = {
        size: np.random.default_rng(size).standard_normal((size, 3, side, side), np.float32)
        for size in BATCHES
    }
    seconds: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds + 1):  # the first warms up
        for name, predict in list(sides.items())[:: -1 if turn % 2 else 1]:
            for size, pixels in inputs.items():
                began = time.perf_counter()
                predict(pixels)
                if turn:
                    seconds.setdefault((name, size), []).append(time.perf_counter() - began)
    found: Speeds = {name: {} for name in sides}
    for (name, size), taken in seconds.items():
        found[name][f"batch {size}"] = spread([size / one for one in taken])
    return found


def means(measured: dict[str, dict[str, Any]]) -> dict[str, object]:
    """Return each side's speed over torch's, the geometric mean over networks."""
    rows: dict[str, object] = {}
    for size in BATCHES:
        ratios: dict[str, list[float]] = {}
        for one in measured.values():
            speeds = {name: row[f"batch {size}"]["median"] for name, row in one["images/s"].items()}
            for name, speed in speeds.items():
                ratios.setdefault(name, []).append(speed / speeds["torch fp32"])
        rows[f"batch {size}"] = {
            name: round(statistics.geometric_mean(values), 2) for name, values in ratios.items()
        }
    return rows


if __name__ == "__main__":
    sys.exit(main())

r"""The worker alone, without a server around it: images a second, and the share of the bound.

As many worker processes as the layout has, each given one full batch after the other through
multi-model-server's own protocol, on the GPU where there is one. The bound comes from decoding
alone on all cores and forward passes alone on the device: on a GPU they overlap, so the slower of
the two is the bound; on the same cores they add up.

    OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=5000 python -m benchmarks.serving_predictor \
        --bundle build/dogs-…/model --photos ../shared/data/dogs/test
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import torch

from benchmarks.servers import jpegs, this_machine
from benchmarks.serving import spread
from classifier import bundle
from serve import machine
from serve.front import health
from serve.predictor import Predictor, choose_device, choose_precisions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of JPEGs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of one measurement")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/serving-predictor.json")
    )
    given = parser.parse_args()
    layout = machine.layout(machine.cores(), machine.gpus(), machine.memory_mb())
    photos = [photo.read_bytes() for photo in jpegs(given.photos, 64)]
    rounds = []
    for _ in range(given.rounds):
        one = {
            "decode": in_processes(decode, layout, given.bundle, photos, given.seconds),
            "forward": in_processes(forward, layout, given.bundle, photos, given.seconds),
            "worker": in_processes(worker, layout, given.bundle, photos, given.seconds),
        }
        both = (one["decode"], one["forward"])
        one["bound"] = min(both) if machine.gpus() else 1 / sum(1 / rate for rate in both)
        one["share of the bound"] = one["worker"] / one["bound"]
        print(json.dumps(one), flush=True)
        rounds.append(one)
    contents = {
        "command": f"python -m benchmarks.serving_predictor --rounds {given.rounds} --bundle …",
        "machine": this_machine(),
        "layout": str(layout),
        "images/s": {name: spread([one[name] for one in rounds]) for name in rounds[0]},
    }
    given.out.write_text(json.dumps(contents, indent=1) + "\n")
    print(json.dumps(contents, indent=1))
    return 0


def in_processes(work, layout, model, photos, seconds) -> float:
    """Run in as many processes as there would be workers, all at once; return their sum."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(layout.workers)
    with context.Pool(layout.workers, set_barrier, (ready,)) as pool:
        each = [
            pool.apply_async(work, (layout, model, photos, seconds)) for _ in range(layout.workers)
        ]
        return sum(one.get() for one in each)


def set_barrier(ready) -> None:
    global _ready
    _ready = ready


def rate(step, pictures: int, seconds: float) -> float:
    """Return pictures a second, all processes measuring at the same time."""
    step()
    _ready.wait()
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        step()
        done += pictures
    return done / (time.perf_counter() - begun)


def decode(layout: machine.Layout, model: Path, photos: list[bytes], seconds: float) -> float:
    transform = bundle.load(model).description.transform
    endless = cycle(photos)
    with ThreadPoolExecutor(
        layout.threads, initializer=lambda: torch.set_num_threads(1)
    ) as decoders:
        return rate(
            lambda: list(decoders.map(transform.read, islice(endless, layout.batch_size))),
            layout.batch_size,
            seconds,
        )


def forward(layout: machine.Layout, model: Path, photos: list[bytes], seconds: float) -> float:
    loaded = bundle.load(model)
    device = choose_device("auto")
    precision = choose_precisions("auto", device)[0]
    predictor = Predictor(loaded, device, layout.threads, precision, layout.batch_size)
    read = loaded.description.transform.read
    batch = torch.stack([read(one) for one in islice(cycle(photos), layout.batch_size)])
    predictor.warm(loaded.description.transform.crop, layout.batch_size)
    return rate(lambda: predictor.predict(batch), layout.batch_size, seconds)


def worker(layout: machine.Layout, model: Path, photos: list[bytes], seconds: float) -> float:
    from tests.serve.worker import Request, ask, load

    with tempfile.TemporaryDirectory() as directory:
        for name in ("ml", "workers", "empty"):
            Path(directory, name).mkdir()
        Path(directory, "ml", "model").symlink_to(model.resolve())
        os.environ["SAGEMAKER_BASE_DIR"] = f"{directory}/ml"
        os.environ[health.DIRECTORY_VARIABLE] = f"{directory}/workers"
        service = load(Path(directory, "empty"))
        endless = cycle(photos)

        def step() -> None:
            batch = [Request(photo) for photo in islice(endless, layout.batch_size)]
            _, replies = ask(service, *batch)
            assert all(reply.status == 200 for reply in replies)

        return rate(step, layout.batch_size, seconds)


if __name__ == "__main__":
    sys.exit(main())

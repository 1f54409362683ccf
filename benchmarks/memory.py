"""Does a job's memory stay flat over many pictures?

A job on generated pictures in packed shards, with its recorder and decoding workers, is watched
from outside: the proportional set size of all its processes (`/proc/PID/smaps_rollup`). Anonymous
and shared memory count; mapped files are listed apart, since the system drops their pages when it
needs the memory. `flat` is the median of the last quarter less that of the quarter before.

    python -m benchmarks.memory [--pictures 100000] [--parts epoch,sweep]
        [--out benchmarks/results/memory.json]
"""

import argparse
import io
import json
import multiprocessing
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from benchmarks.measuring import RESULTS, this_machine, write
from classifier import networks
from pictures import shards
from train import job as training
from train.platform.environment import Job
from train.platform.stop import Stop

CLASSES, SIDE = 10, 32
GRID = {"learning_rate": [0.001, 0.01, 0.1], "batch_size": [128, 256], "epochs": [1, 2]}
SMALL = {"image_size": SIDE, "batch_size": 256, "workers": 2, "cache_gib": 0}
PARTS: dict[str, dict[str, object]] = {
    "epoch": {
        **SMALL,
        **{"architecture": "shufflenet_v2_x0_5", "weights": "none", "trainable": "all"},
        "epochs": 1,
    },
    "sweep": {**SMALL, "architecture": "shufflenet_v2_x0_5", "sweep": json.dumps(GRID)},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path, default=RESULTS / "memory.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        generate(root / "photos" / "train", options.pictures, seed=0)
        generate(root / "photos" / "valid", options.pictures // 20, seed=1)
        torch.manual_seed(0)
        torch.save(networks.build("shufflenet_v2_x0_5", CLASSES).state_dict(), root / "weights.pth")
        found = {
            "command": shlex.join(["python", "-m", "benchmarks.memory", *sys.argv[1:]]),
            "pictures": options.pictures,
            "machine": this_machine(),
            "mebibytes": {part: watched(root, part) for part in options.parts.split(",")},
        }
    write(options.out, found)
    print(json.dumps(found, indent=2))
    return 0


def generate(out: Path, count: int, seed: int) -> None:
    """Write shards of `count` pictures, a thousand of them different."""
    draw = np.random.default_rng(seed)
    contents = []
    for _ in range(min(count, 1000)):
        buffer = io.BytesIO()
        pixels = draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG")
        contents.append(buffer.getvalue())

    def pictures() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
        for number in range(count):
            content = contents[number % len(contents)]
            yield f"class-{number % CLASSES}", f"{number:07d}.jpg", partial(bytes, content)

    for _ in shards.write(out, pictures(), shuffle=seed, shard_bytes=2**26):
        pass


def watched(root: Path, part: str) -> dict[str, float]:
    """Run a job in a process of its own; return its memory over time, in MiB."""
    process = multiprocessing.get_context("spawn").Process(target=run, args=(root, part))
    process.start()
    assert process.pid
    job = psutil.Process(process.pid)
    samples: list[tuple[float, float]] = []
    while process.is_alive():
        samples.append(held(job))
        process.join(0.5)
    if process.exitcode:
        raise SystemExit(f"the job of {part} failed: {process.exitcode}")
    del samples[-2:]  # the job was ending
    own = [one for one, _ in samples]
    quarter, late = own[len(own) // 2 : len(own) * 3 // 4], own[len(own) * 3 // 4 :]
    return {
        "at a quarter": own[len(own) // 4],
        "at a half": own[len(own) // 2],
        "at the end": own[-1],
        "most": max(own),
        "flat": round(float(np.median(late) - np.median(quarter)), 1),
        "most, with mapped files": max(whole for _, whole in samples),
        "samples": len(samples),
    }


def run(root: Path, part: str) -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    hyperparameters = {"weights": str(root / "weights.pth")} | PARTS[part]
    base = root / part
    for name in ("config", "output"):
        (base / name).mkdir(parents=True)
    training.run(
        Job(
            channels={"data": root / "photos"},
            hyperparameters=hyperparameters,
            model_dir=base / "model",
            output_dir=base / "output" / "data",
            failure_file=base / "output" / "failure",
            config_dir=base / "config",
            checkpoints=None,
        ),
        Stop(),
    )


def held(job: psutil.Process) -> tuple[float, float]:
    """Return the MiB that a job's processes hold, without and with mapped files."""
    own = whole = 0
    try:
        processes = [job, *job.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    for process in processes:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:  # gone
            continue
        sizes = {name: int(size.split()[0]) for name, size in (one.split(":") for one in lines)}
        own += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
        whole += sizes["Pss"]
    return round(own / 1024, 1), round(whole / 1024, 1)


if __name__ == "__main__":
    raise SystemExit(main())

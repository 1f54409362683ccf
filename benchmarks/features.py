"""How often a frozen backbone's first epoch reads each picture, and how long it takes.

Compares two checkouts of this repository, in turns, each time in a fresh process: before, every
picture was read twice, once to be hashed for the key of stored features, although nothing was
stored. The photos are made up, on a local disk and in the page cache.

    python -m benchmarks.features --before FOLDER [--photos 200] [--rounds 5]
        [--out benchmarks/results/features-reads.json]
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write

HERE = Path(__file__).parents[1]

# Runs in either checkout: counts opened photos, and times the first view of a frozen backbone.
EPOCH = """
import os, sys, time
from pathlib import Path
import torch
from pictures.picture import Picture, Splits
from train.config import TrainConfig
from train.features import features
from train.platform.environment import Job
from train.platform.stop import Stop
from train.recording.hooks import Hooks
from train.state.setup import set_up

root = Path(sys.argv[1])
opened = 0

def count(event, arguments):
    global opened
    opened += event == "open" and str(arguments[0]).endswith(".jpg")

paths = sorted((root / "photos").iterdir())
photos = tuple(Picture(path, number % 10) for number, path in enumerate(paths))
names = tuple("0123456789")
job = Job({}, {}, root / "model", root / "output", root / "failure", root / "config", None)
torch.manual_seed(0)
weights = str(root / "weights.pth")
config = TrainConfig(architecture="resnet18", weights=weights, epochs=1, workers=0)
run, network = set_up(config, Splits(names, names, photos, photos[:10]), job, Stop(), Hooks())
found = features.choose(run, network)
sys.addaudithook(count)
began = time.perf_counter()
found.view(photos, 0)
print(opened / len(photos), time.perf_counter() - began)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="a checkout of the earlier commit")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "features-reads.json")
    options = parser.parse_args()
    if not options.before:
        parser.error("--before is needed: `git worktree add FOLDER COMMIT` makes one")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(root, options.photos)
        sides = {"before": options.before, "after": HERE}
        turns = [
            {name: epoch(root, side) for name, side in sides.items()} for _ in range(options.rounds)
        ]
    reads = {name: turns[0][name][0] for name in sides}
    assert all(turn[name][0] == reads[name] for turn in turns for name in sides)
    found = {
        "command": shlex.join(["python", "-m", "benchmarks.features", *sys.argv[1:]]),
        "photos": options.photos,
        "reads of each picture": reads,
        "seconds": {name: spread([turn[name][1] for turn in turns]) for name in sides},
        "after / before": spread([turn["after"][1] / turn["before"][1] for turn in turns]),
        "machine": this_machine(),
        "load": machine_load(),
    }
    write(options.out, found)
    print(json.dumps(found, indent=2))
    return 0


def prepare(root: Path, count: int) -> None:
    """Write photos of 500 x 375, and random weights of ResNet18."""
    import torch

    from classifier import networks

    (root / "photos").mkdir()
    for number in range(count):
        draw = np.random.default_rng(number)
        small = draw.integers(0, 256, (31, 42, 3), dtype=np.uint8)
        photo = Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC)
        photo.save(root / "photos" / f"{number:05d}.jpg", quality=90)
    torch.save(networks.build("resnet18", 10).state_dict(), root / "weights.pth")


def epoch(root: Path, side: Path) -> tuple[float, float]:
    """Return the reads of each picture and the seconds of the first view, in a checkout."""
    env = {name: value for name, value in os.environ.items() if name != "KENNEL_FEATURES"}
    done = subprocess.run(
        [sys.executable, "-c", EPOCH, str(root)],
        cwd=side,
        env=env | {"PYTHONPATH": str(side)},
        capture_output=True,
        text=True,
        check=True,
    )
    reads, seconds = done.stdout.splitlines()[-1].split()
    return float(reads), float(seconds)


if __name__ == "__main__":
    raise SystemExit(main())

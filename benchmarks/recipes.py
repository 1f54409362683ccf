"""How good each recipe of experiments/ is on real dogs, and what it costs: a mean over seeds.

A run can be cut into pieces: with `--minutes` it stops after that time as on SIGTERM, and the same
command goes on from its checkpoints. Seconds count training alone, over all pieces.

    python -m benchmarks.recipes --work FOLDER [--recipes dogs-frozen-head,…] [--seeds 0,1,2]
        [--photos 2000] [--minutes 5] [--out benchmarks/results/recipes.json]
"""

import argparse
import json
import os
import platform
import statistics
import time
import tomllib
from pathlib import Path
from typing import Any

import torch

from benchmarks.training import REAL, spread
from pictures import channels
from train import loop
from train.config import TrainConfig
from train.features import chunks
from train.job import Job
from train.platform.stop import Interrupted, Stop
from train.recording.hooks import Hooks

ROOT = Path(__file__).parents[1]
RECIPES = ("dogs-frozen-head", "dogs-discriminative", "dogs-head-first")


class Until(Stop):
    """Asks for a stop at a time."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self.end = end

    def check(self, number: int = 0) -> None:
        """Raise Interrupted when it is time."""
        self.requested = time.monotonic() > self.end
        super().check(number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/recipes.json")
    given = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    chunks.SIZE = 128  # a piece that is cut off loses no more features than these
    os.environ.setdefault("KENNEL_FEATURES", str(given.work / "features"))
    stop = Until(time.monotonic() + 60 * given.minutes)
    photos = given.work / f"photos-{given.photos}"
    if not photos.exists():
        choose(photos, given.photos)
    done = True
    for seed in given.seeds.split(","):
        for recipe in given.recipes.split(","):
            settings = {"seed": int(seed), "precision": given.precision}
            folder = given.work / f"{recipe}-{given.photos}-{seed}"
            done = done and run(folder, photos, told(recipe) | settings, stop)
    command = f"--recipes {given.recipes} --photos {given.photos} --precision {given.precision}"
    report(
        given.work, given.out, f"python -m benchmarks.recipes --work FOLDER {command}, in pieces"
    )
    return 0 if done else 75  # not done yet


def told(recipe: str) -> dict[str, Any]:
    """Return a recipe's hyperparameters."""
    spec = tomllib.loads((ROOT / "experiments" / f"{recipe}.toml").read_text())
    hyperparameters: dict[str, Any] = spec["hyperparameters"]
    name = hyperparameters["architecture"]
    weights = REAL / "weights" / f"{name}-imagenet-fp16.pth"
    return hyperparameters | {"weights": str(weights), "checkpoint_minutes": 1}


def choose(folder: Path, count: int) -> None:
    """Link the first photos of each breed, and all that validate and test."""
    for split in ("train", "valid", "test"):
        for breed in sorted((REAL / "dogs" / split).iterdir()):
            (folder / split / breed.name).mkdir(parents=True)
            for photo in sorted(breed.iterdir())[: count // 10 if split == "train" else None]:
                (folder / split / breed.name / photo.name).symlink_to(photo)


def run(folder: Path, photos: Path, settings: dict[str, Any], stop: Stop) -> bool:
    """Train a recipe, or go on with it; return whether it is done."""
    result = folder / "result.json"
    if result.is_file():
        return True
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    clock = folder / "seconds"
    before = float(clock.read_text()) if clock.is_file() else 0.0
    job = Job({}, {}, *(folder / name for name in ("m", "o", "f", "c")), checkpoints)
    splits = channels.find(
        {name: photos / name for name in ("train", "valid", "test")},
        seed=0,
        valid_fraction=0,
        test_fraction=0,
    )
    began = time.monotonic()
    try:
        loop.train(TrainConfig.model_validate(settings), splits, job, stop, Hooks())
    except Interrupted:
        return False
    finally:
        clock.write_text(str(before + time.monotonic() - began))
    figures = json.loads((folder / "o" / "metrics.json").read_text())
    facts = {
        "photos": len(splits.train),
        "settings": settings | {"weights": Path(settings["weights"]).name},
        "test_accuracy": 100 * figures["test"]["test:accuracy"],
        "best_epoch": figures["best_epoch"],
        "validation_accuracy": [
            round(100 * epoch["validation:accuracy"], 2) for epoch in figures["history"]
        ],
        "seconds": round(float(clock.read_text()), 1),
    }
    result.write_text(json.dumps(facts))
    return True


def report(work: Path, out: Path, command: str) -> None:
    """Write what has been measured so far, and how; recipes measured elsewhere keep their rows."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(work.glob("*/result.json")):
        runs.setdefault(path.parent.name.rpartition("-")[0], []).append(
            json.loads(path.read_text())
        )
    recipes = json.loads(out.read_text())["recipes"] if out.is_file() else {}
    for name, found in runs.items():
        accuracies = [one["test_accuracy"] for one in found]
        recipes[name] = {
            "command": command,
            "mean_test_accuracy": round(statistics.mean(accuracies), 2),
            "standard_deviation": round(statistics.pstdev(accuracies), 2),
            "seconds": spread([one["seconds"] for one in found]),
            "runs": [one | {"settings": None, "seed": one["settings"]["seed"]} for one in found],
            "settings": found[0]["settings"] | {"seed": None},
            "machine": f"{os.cpu_count()} x {platform.machine()}, torch {torch.__version__}; busy",
        }
    contents = {"test_photos": 100, "recipes": recipes}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(contents, indent=2) + "\n")
    for name, recipe in recipes.items():
        print(name, recipe["mean_test_accuracy"], recipe["seconds"], flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

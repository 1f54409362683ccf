"""How accurate each recipe of experiments/ is on photos of dogs, and what it costs, over seeds.

`--minutes` stops the run after that time, as SIGTERM does; the same command then continues from the
checkpoints. Seconds count training alone, over all pieces.

    python -m benchmarks.recipes --work FOLDER [--recipes dogs-frozen-head,…] [--seeds 0,1,2]
        [--photos 2000] [--minutes 5] [--out benchmarks/results/recipes.json]
"""

import argparse
import json
import os
import statistics
import time
import tomllib
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import RESULTS, spread, this_machine, write
from benchmarks.training import REAL, job_in
from pictures import channels
from train import loop
from train.config import TrainConfig
from train.features import chunks
from train.platform.stop import Interrupted, Stop
from train.recording.hooks import Hooks

ROOT = Path(__file__).parents[1]
RECIPES = ("dogs-frozen-head", "dogs-discriminative", "dogs-head-first")


class Until(Stop):
    """Requests a stop at a options time."""

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
    parser.add_argument("--out", type=Path, default=RESULTS / "recipes.json")
    options = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    chunks.SIZE = 128  # an interrupted piece loses the features of at most so many
    os.environ.setdefault("KENNEL_FEATURES", str(options.work / "features"))
    stop = Until(time.monotonic() + 60 * options.minutes)
    photos = options.work / f"photos-{options.photos}"
    if not photos.exists():
        choose(photos, options.photos)
    done = True
    for seed in options.seeds.split(","):
        for recipe in options.recipes.split(","):
            settings = {"seed": int(seed), "precision": options.precision}
            folder = options.work / f"{recipe}-{options.photos}-{seed}"
            done = done and run(folder, photos, hyperparameters(recipe) | settings, stop)
    command = f"--recipes {options.recipes} --photos {options.photos}"
    command += f" --precision {options.precision}"
    report(
        options.work,
        options.out,
        f"python -m benchmarks.recipes --work FOLDER {command}, in pieces",
    )
    return 0 if done else 75  # not done yet


def hyperparameters(recipe: str) -> dict[str, Any]:
    """Return a recipe's hyperparameters."""
    spec = tomllib.loads((ROOT / "experiments" / f"{recipe}.toml").read_text())
    values: dict[str, Any] = spec["hyperparameters"]
    weights = REAL / "weights" / f"{values['architecture']}-imagenet-fp16.pth"
    return values | {"weights": str(weights), "checkpoint_minutes": 1, "export": "none"}


def choose(folder: Path, count: int) -> None:
    """Link the first training photos of each breed, and all photos for validation and test."""
    for split in ("train", "valid", "test"):
        for breed in sorted((REAL / "dogs" / split).iterdir()):
            (folder / split / breed.name).mkdir(parents=True)
            for photo in sorted(breed.iterdir())[: count // 10 if split == "train" else None]:
                (folder / split / breed.name / photo.name).symlink_to(photo)


def run(folder: Path, photos: Path, settings: dict[str, Any], stop: Stop) -> bool:
    """Train a recipe, or continue it; return whether it is done."""
    result = folder / "result.json"
    if result.is_file():
        return True
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    clock = folder / "seconds"
    before = float(clock.read_text()) if clock.is_file() else 0.0
    job = job_in(folder, checkpoints)
    splits = channels.find(
        {name: photos / name for name in ("train", "valid", "test")},
        split_seed=0,
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
    figures = json.loads((job.output_dir / "metrics.json").read_text())
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
    """Write the figures so far; recipes that were measured elsewhere keep their rows."""
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
            "machine": f"{this_machine()}; busy",
        }
    write(out, {"test_photos": 100, "recipes": recipes})
    for name, recipe in recipes.items():
        print(name, recipe["mean_test_accuracy"], recipe["seconds"], flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

"""Does serving in 8 bits cost accuracy? Top-1 of a job's two exports, and the gate between them.

Real jobs are trained: ResNet heads on photos of ten breeds of dogs, and a whole ResNet18 on
handwritten digits. Each bundle is exported as a job with `export=auto` does it, in a process of its
own and for at most 30 seconds. Then both files classify all pictures that were not trained on, by
OpenVINO as a server does, whether or not the gate kept the file in 8 bits.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.exports [--photos 20] [--more 20]
        [--networks digits,resnet18,resnet50] [--out benchmarks/results/exports.json]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import RESULTS, machine_load, this_machine, write
from benchmarks.training import REAL, job_in
from classifier import bundle, processor
from classifier.description import ONNX
from classifier.exporting import process, quantising, sample, session
from classifier.transform import Floats
from pictures import channels
from pictures.picture import Picture, Splits
from scripts.make import digits
from train import loop
from train.config import TrainConfig
from train.platform.stop import Stop
from train.recording.hooks import Hooks

LIMIT = 30.0  # seconds, of export=auto
HEAD = {"epochs": 8, "feature_views": 1, "batch_size": 32, "learning_rate": 0.05}
WHOLE = {
    **{"weights": "none", "trainable": "all", "image_size": 32, "epochs": 4, "batch_size": 32},
    **{"optimizer": "adamw", "learning_rate": 0.003, "backbone_learning_rate": 0.003},
    **{"augment": "none", "horizontal_flip": False},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=20, help="training photos of each breed")
    parser.add_argument("--more", type=int, default=20, help="others of each breed, to test on")
    parser.add_argument("--networks", default="digits,resnet18,resnet50")
    parser.add_argument("--out", type=Path, default=RESULTS / "exports.json")
    options = parser.parse_args()
    found = {}
    for name in options.networks.split(","):
        found[name] = one(name, options.photos, options.more)
        print(name, json.dumps(found[name], indent=1), flush=True)
        contents = {
            "command": " ".join(["python -m benchmarks.exports", *sys.argv[1:]]),
            "machine": this_machine(),
            "load": machine_load(),
            "networks": found,
        }
        write(options.out, contents)
    return 0


def one(name: str, photos: int, more: int) -> dict[str, Any]:
    """Train a network on its pictures, export it and compare the exports."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as folder:
        if name == "digits":
            splits, others = of_digits(Path(folder))
            settings: dict[str, Any] = {"architecture": "resnet18", **WHOLE}
        else:
            splits, others = of_dogs(Path(folder), photos, more)
            weights = REAL / "weights" / f"{name}-imagenet-fp16.pth"
            settings = {"architecture": name, "weights": str(weights), **HEAD}
        return measure(Path(folder), splits, others, settings)


def of_digits(root: Path) -> tuple[Splits, list[Picture]]:
    digits.write(root / "digits", limit=1797)
    splits = channels.find(
        {"data": root / "digits"}, split_seed=0, valid_fraction=0.2, test_fraction=0.2
    )
    return splits, []


def of_dogs(root: Path, count: int, more: int) -> tuple[Splits, list[Picture]]:
    """Return photos of dogs, and some that are in no split."""
    for split in ("train", "valid", "test"):
        for breed in sorted((REAL / "dogs" / split).iterdir()):
            for number, photo in enumerate(sorted(breed.iterdir())):
                part = "more" if split == "train" and number >= count else split
                if split == "train" and number >= count + more:
                    break
                (root / "photos" / part / breed.name).mkdir(parents=True, exist_ok=True)
                (root / "photos" / part / breed.name / photo.name).symlink_to(photo)
    splits = channels.find(
        {name: root / "photos" / name for name in ("train", "valid", "test")},
        split_seed=0,
        valid_fraction=0,
        test_fraction=0,
    )
    numbers = {name: number for number, name in enumerate(splits.folders)}
    others = sorted((root / "photos" / "more").rglob("*.JPEG"))
    return splits, [Picture(photo, numbers[photo.parent.name]) for photo in others]


def measure(
    root: Path, splits: Splits, more: Sequence[Picture], settings: dict[str, Any]
) -> dict[str, Any]:
    """Train, export, and classify with both files."""
    job = job_in(root, None)
    config = TrainConfig.model_validate({"export": "none", **settings})
    loop.train(config, splits, job, Stop(), Hooks())
    said: list[str] = []
    began = time.monotonic()
    process.run(
        job.model_dir,
        *sample.of_job(splits.train, splits.valid),
        int8=True,
        seconds=LIMIT,
        say=said.append,
    )
    seconds = time.monotonic() - began
    description = bundle.describe(job.model_dir)
    exported = description.export
    assert exported, said
    model = (job.model_dir / ONNX).read_bytes()
    transform = description.transform
    inputs = [
        np.stack([transform.read(one.read()) for one in part])
        for part in batches(sample.draw(splits.train, sample.CALIBRATION))
    ]
    sides = {"fp32": engine(model), "int8": engine(quantising.quantise(model, inputs))}
    sets = {"valid": splits.valid, "test": splits.test, "more": more}
    return {
        "classes": len(splits.classes),
        "training pictures": len(splits.train),
        "gate": exported.int8.model_dump() if exported.int8 else description.training.get("export"),
        "export seconds": round(seconds, 1),
        "parity": exported.parity,
        "top-1": {
            name: compare(sides, pictures, transform) for name, pictures in sets.items() if pictures
        },
    }


def engine(model: bytes) -> Callable[[Floats], Floats]:
    """Return a function from pixels to logits, by OpenVINO."""
    compiled = processor.core().compile_model(
        processor.core().read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return lambda pixels: np.array(compiled([pixels])[session.LOGITS])


def compare(sides: dict[str, Any], pictures: Sequence[Picture], transform: Any) -> dict[str, Any]:
    answers: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in sides}
    truth = np.array([one.label for one in pictures])
    for part in batches(pictures):
        pixels = np.stack([transform.read(one.read()) for one in part])
        for name, predict in sides.items():
            answers[name].append(predict(pixels))
    logits = {name: np.concatenate(parts) for name, parts in answers.items()}
    found = {name: one.argmax(1) for name, one in logits.items()}
    right = {name: round(float((one == truth).mean()), 4) for name, one in found.items()}
    same = float((found["fp32"] == found["int8"]).mean())
    difference = np.abs(logits["fp32"] - logits["int8"]).mean() / logits["fp32"].std()
    return {
        "pictures": len(pictures),
        **right,
        "same class": round(same, 4),
        "mean difference of logits, in standard deviations": round(float(difference), 4),
    }


def batches(pictures: Sequence[Picture], size: int = 8) -> list[Sequence[Picture]]:
    return [pictures[first : first + size] for first in range(0, len(pictures), size)]


if __name__ == "__main__":
    raise SystemExit(main())

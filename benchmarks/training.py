"""How fast Kennel trains on a CPU, compared with a plain loop on the same photos and weights.

All take turns, so that other load on the machine slows all alike; what counts is the ratio to the
plain loop of the same turn. The plain loop is PIL's ImageFolder, float32, contiguous tensors and
`.item()` at each step; `reference` adds what torchvision's own recipe adds (TrivialAugment, random
erasing, label smoothing, averaged weights). `kennel` computes in bf16 if the processor can,
`kennel fp32` in float32, a job's default; `synthetic` is Kennel's loop on ready tensors instead of
photos.

    python -m benchmarks.training [--photos 200] [--rounds 3] [--architecture resnet50]
        [--parts frozen,grid,full,synthetic] [--out benchmarks/results/training.json]
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision import transforms as T

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write
from classifier import networks, weights
from classifier.inference import computes_bf16
from pictures import channels
from train import loop
from train.batches.batch import Batch
from train.config import TrainConfig
from train.features import features, sweep
from train.platform.environment import Job
from train.platform.stop import Stop
from train.recording.hooks import Hooks
from train.stages.stage import begin_stage
from train.state.run import Run
from train.state.setup import initial_state, set_up

REAL = Path(__file__).parents[2] / "shared" / "data"
FAST = "bf16" if computes_bf16(torch.device("cpu")) else "fp32"
GRID = {"learning_rate": [0.001, 0.01, 0.1], "batch_size": [32, 64, 128], "epochs": [2, 3]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--parts", default="frozen,grid,full,synthetic")
    parser.add_argument("--out", type=Path, default=RESULTS / "training.json")
    options = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        choose(photos, options.photos)
        bench = Bench(Path(folder), photos, options.architecture)
        parts = {"frozen": frozen, "grid": grid, "full": full, "synthetic": synthetic}
        turns = [
            {k: v for part in options.parts.split(",") for k, v in parts[part](bench).items()}
            for _ in range(options.rounds)
        ]
    found = {
        "command": shlex.join(["python", "-m", "benchmarks.training", *sys.argv[1:]]),
        "architecture": options.architecture,
        "photos": options.photos,
        "seconds": {name: spread([turn[name] for turn in turns]) for name in turns[0]},
        "ratios": ratios(turns),
        "precision": FAST,
        "machine": this_machine(),
        "load": machine_load(),
    }
    write(options.out, found)
    print(json.dumps(found, indent=2))
    return 0


class Bench:
    """The photos, and the networks and runs that use them."""

    def __init__(self, root: Path, photos: Path, architecture: str) -> None:
        self.root, self.photos, self.architecture = root, photos, architecture
        self.weights = REAL / "weights" / f"{architecture}-imagenet-fp16.pth"
        self.splits = channels.find(
            {"data": photos}, split_seed=0, valid_fraction=0, test_fraction=0
        )

    def network(self) -> nn.Module:
        """Return the network with its pretrained weights."""
        network = networks.build(self.architecture, len(self.splits.classes))
        weights.load_pretrained(network, self.architecture, file=self.weights)
        return network

    def kennel(self, **settings: object) -> tuple[Run, nn.Module]:
        """Return a run of Kennel on the photos, and its network."""
        defaults = {"architecture": self.architecture, "weights": str(self.weights)}
        defaults |= {"batch_size": "32", "precision": FAST}
        config = TrainConfig.model_validate(defaults | settings)
        return set_up(config, self.splits, job_in(self.root, None), Stop(), Hooks())


def job_in(root: Path, checkpoints: Path | None) -> Job:
    """Return a job that writes to a folder, without channels and hyperparameters."""
    return Job(
        channels={},
        hyperparameters={},
        model_dir=root / "model",
        output_dir=root / "output",
        failure_file=root / "failure",
        config_dir=root / "config",
        checkpoints=checkpoints,
    )


def choose(folder: Path, count: int) -> None:
    """Link the first photos of each breed, and a few to validate."""
    for split, share in (("train", count), ("valid", max(20, count // 10))):
        for breed in sorted((REAL / "dogs" / split).iterdir()):
            (folder / split / breed.name).mkdir(parents=True)
            for photo in sorted(breed.iterdir())[: share // 10]:
                (folder / split / breed.name / photo.name).symlink_to(photo)


def plain_epoch(bench: Bench, *, head_only: bool, reference: bool = False) -> float:
    """Return the seconds of an epoch of the plain loop."""
    normalise = T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    steps = [T.RandomResizedCrop(224, scale=(0.25, 1.0)), T.RandomHorizontalFlip()]
    steps += [T.TrivialAugmentWide()] if reference else []
    steps += [T.ToTensor(), normalise]
    steps += [T.RandomErasing(0.1)] if reference else []
    pictures = datasets.ImageFolder(bench.photos / "train", T.Compose(steps))
    network = bench.network()
    if head_only:
        network.requires_grad_(False)
        networks.head(network).requires_grad_(True)
    trained = [p for p in network.parameters() if p.requires_grad]
    sgd = torch.optim.SGD(trained, lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1 if reference else 0.0)
    averaged = AveragedModel(network) if reference else None
    network.train()
    began = time.perf_counter()
    total = 0.0
    for images, labels in DataLoader(pictures, batch_size=32, shuffle=True, num_workers=2):
        sgd.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        sgd.step()
        total += loss.item()
        if averaged:
            averaged.update_parameters(network)
    return time.perf_counter() - began


def kennel_epochs(
    bench: Bench, epochs: int, *, synthetic: bool = False, **settings: object
) -> list[float]:
    """Return the seconds of each epoch, without validation, as for the plain loop."""
    run, network = bench.kennel(epochs=epochs, **settings)
    state = initial_state(run, network)
    stage = begin_stage(run, network, 0)
    if synthetic:
        stage.batches = [noise(run, len(keys)) for keys in stage.order]
    took = []
    for epoch in range(epochs):
        began = time.perf_counter()
        state.epoch, state.batch = epoch, 0
        if stage.features:
            stage.features.view(run.splits.train, epoch)
        loop.train_epoch(run, state, stage, lambda: None, time.monotonic())
        took.append(time.perf_counter() - began)
    return took


def noise(run: Run, count: int) -> Batch:
    """Return a batch of random pixels, in the form that decoding workers return."""
    pixels = torch.randint(256, (count, run.transform.crop, run.transform.crop, 3))
    labels = torch.randint(len(run.splits.classes), (count,))
    return Batch(pixels.to(torch.uint8).permute(0, 3, 1, 2), labels, transform=run.transform)


def frozen(bench: Bench) -> dict[str, float]:
    plain = plain_epoch(bench, head_only=True)
    first, later = kennel_epochs(bench, 2, feature_views=1, trainable="head")
    return {"plain frozen": plain, "kennel frozen, first": first, "kennel frozen, later": later}


def grid(bench: Bench) -> dict[str, float]:
    job = sum(kennel_epochs(bench, 3, trainable="head"))
    run, network = bench.kennel(sweep=json.dumps(GRID))
    kept = features.choose(run, network)
    assert kept
    kept.view(run.splits.valid, None)  # the job above did not evaluate
    began = time.perf_counter()
    sweep.train(run, network, kept)
    return {"job of 3 epochs": job, "sweep of 18 trials": time.perf_counter() - began}


def full(bench: Bench) -> dict[str, float]:
    return {
        "plain full": plain_epoch(bench, head_only=False),
        "reference full": plain_epoch(bench, head_only=False, reference=True),
        "kennel full": kennel_epochs(bench, 1, trainable="all")[0],
        "kennel full, fp32": kennel_epochs(bench, 1, trainable="all", precision="fp32")[0],
    }


def synthetic(bench: Bench) -> dict[str, float]:
    """Time second epochs, when kernels exist; decoded pictures are not cached."""
    warm = kennel_epochs(bench, 2, trainable="all", cache_gib=0)
    ready = kennel_epochs(bench, 2, synthetic=True, trainable="all", cache_gib=0)
    return {"kennel full, warm": warm[1], "kennel full, synthetic": ready[1]}


def ratios(turns: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the speed-ups over the plain loop of the same turn, and what a sweep costs."""
    pairs = [
        ("plain frozen", "kennel frozen, first"),
        ("plain frozen", "kennel frozen, later"),
        ("plain full", "kennel full"),
        ("plain full", "kennel full, fp32"),
        ("kennel full, synthetic", "kennel full, warm"),
        ("plain full", "reference full"),
        ("sweep of 18 trials", "job of 3 epochs"),
    ]
    return {
        f"{one} / {other}": spread([turn[one] / turn[other] for turn in turns])
        for one, other in pairs
        if one in turns[0]
    }


if __name__ == "__main__":
    raise SystemExit(main())

"""How fast Kennel trains, beside a loop as people write it, on the same photos and weights.

All take turns, so that a machine that is busy is busy for all of them; what counts is the ratio to
the plain loop of the same turn. The plain loop is PIL's ImageFolder, float32, contiguous tensors,
and `.item()` at each step; `reference` adds what torchvision's own recipe adds (TrivialAugment,
random erasing, label smoothing, averaged weights). `kennel` is in bf16 where the processor
computes in it, `kennel fp32` in float32 as a job is by itself; `synthetic` is
Kennel's loop on tensors that are there already, in place of photos; `compiled` is after
torch.compile, with what compiling took.

    python -m benchmarks.training [--photos 200] [--rounds 3] [--architecture resnet50]
        [--parts frozen,grid,full,synthetic,compiled] [--out benchmarks/results/training.json]
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision import transforms as T

from classifier import networks, weights
from classifier.precision import computes_bf16
from pictures import channels
from train import loop
from train.batches import data
from train.config import TrainConfig
from train.features import features, sweep
from train.job import Job
from train.learning import gradients
from train.platform.stop import Stop
from train.recording.hooks import Hooks
from train.state.run import Run, set_up

REAL = Path(__file__).parents[2] / "shared" / "data"
FAST = "bf16" if computes_bf16(torch.device("cpu")) else "fp32"
GRID = {"learning_rate": [0.001, 0.01, 0.1], "batch_size": [32, 64, 128], "epochs": [2, 3]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--parts", default="frozen,grid,full,synthetic")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/training.json"))
    given = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        choose(photos, given.photos)
        bench = Bench(Path(folder), photos, given.architecture)
        parts = {
            "frozen": frozen,
            "grid": grid,
            "full": full,
            "synthetic": synthetic,
            "compiled": compiled,
        }
        turns = [
            {k: v for part in given.parts.split(",") for k, v in parts[part](bench).items()}
            for _ in range(given.rounds)
        ]
    found = {
        "command": shlex.join(["python", "-m", "benchmarks.training", *sys.argv[1:]]),
        "architecture": given.architecture,
        "photos": given.photos,
        "seconds": {name: spread([turn[name] for turn in turns]) for name in turns[0]},
        "ratios": ratios(turns),
        "precision": FAST,
        "machine": f"{os.cpu_count()} x {platform.machine()}, torch {torch.__version__}",
        "load": round(os.getloadavg()[0], 2),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    return 0


class Bench:
    """The photos, and networks and runs on them."""

    def __init__(self, root: Path, photos: Path, architecture: str) -> None:
        self.root, self.photos, self.architecture = root, photos, architecture
        self.weights = REAL / "weights" / f"{architecture}-imagenet-fp16.pth"
        self.splits = channels.find({"data": photos}, seed=0, valid_fraction=0, test_fraction=0)

    def network(self) -> nn.Module:
        """Return the network with its pretrained weights."""
        network = networks.build(self.architecture, len(self.splits.classes))
        weights.load_pretrained(network, self.architecture, file=self.weights)
        return network

    def kennel(self, **settings: object) -> tuple[Run, nn.Module]:
        """Return a run of Kennel's own on the photos, and its network."""
        told = {"architecture": self.architecture, "weights": str(self.weights), "batch_size": 32}
        told["precision"] = FAST
        job = Job({}, {}, *(self.root / name for name in ("m", "o", "f", "c")), None)
        config = TrainConfig.model_validate(told | settings)
        return set_up(config, self.splits, job, Stop(), Hooks())


def choose(folder: Path, count: int) -> None:
    """Link the first photos of each breed, and a few to validate."""
    for split, share in (("train", count), ("valid", max(20, count // 10))):
        for breed in sorted((REAL / "dogs" / split).iterdir()):
            (folder / split / breed.name).mkdir(parents=True)
            for photo in sorted(breed.iterdir())[: share // 10]:
                (folder / split / breed.name / photo.name).symlink_to(photo)


def plain_epoch(bench: Bench, *, head_only: bool, reference: bool = False) -> float:
    """Return the seconds of an epoch as people write it."""
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
    """Return the seconds of each epoch, without validation, as in the plain loop."""
    run, network = bench.kennel(epochs=epochs, **settings)
    state = loop.initial_state(run, network)
    batches: Iterable[data.Batch]
    batches, order = run.loader(run.splits.train, run.training_transform, shuffle=True)
    if synthetic:
        batches = [noise(run, len(keys)) for keys in order]
    kept = features.choose(run, network)
    model = gradients.compiled(network) if run.config.compile else network
    took = []
    for epoch in range(epochs):
        began = time.perf_counter()
        state.epoch, state.batch = epoch, 0
        if kept:
            kept.view(run.splits.train, epoch)
            ready = kept.batches(run.splits.train, order)
            loop.train_epoch(run, state, kept.tail, ready, order, lambda: None, time.monotonic())
        else:
            loop.train_epoch(run, state, model, batches, order, lambda: None, time.monotonic())
        took.append(time.perf_counter() - began)
    return took


def noise(run: Run, count: int) -> data.Batch:
    """Return a batch of pixels as the decoding workers hand them over."""
    pixels = torch.randint(256, (count, run.transform.crop, run.transform.crop, 3))
    labels = torch.randint(len(run.splits.classes), (count,))
    return data.Batch(pixels.to(torch.uint8).permute(0, 3, 1, 2), labels, transform=run.transform)


def frozen(bench: Bench) -> dict[str, float]:
    plain = plain_epoch(bench, head_only=True)
    first, later = kennel_epochs(bench, 2, feature_views=1, trainable="head")
    return {"plain frozen": plain, "kennel frozen, first": first, "kennel frozen, later": later}


def grid(bench: Bench) -> dict[str, float]:
    job = sum(kennel_epochs(bench, 3, trainable="head"))
    run, network = bench.kennel(sweep=json.dumps(GRID))
    kept = features.choose(run, network)
    assert kept
    kept.view(run.splits.valid, None)  # the job above measured none
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
    """The second epochs, once kernels are made; nothing decoded is kept from the first."""
    told: dict[str, object] = {"trainable": "all", "cache_gib": 0}
    return {
        "kennel full, warm": kennel_epochs(bench, 2, **told)[1],
        "kennel full, synthetic": kennel_epochs(bench, 2, synthetic=True, **told)[1],
    }


def compiled(bench: Bench) -> dict[str, float]:
    """The second epochs again, with and without a compiler, and what compiling added to the first.

    Set TORCHINDUCTOR_FORCE_DISABLE_CACHES=1, or only the first turn compiles.
    """
    written = kennel_epochs(bench, 2, trainable="all")
    torch.compiler.reset()
    made = kennel_epochs(bench, 2, trainable="all", compile=True)
    return {
        "kennel full, as written": written[1],
        "kennel full, compiled": made[1],
        "kennel full, compiling": made[0] - written[0],
    }


def ratios(turns: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """How many times as fast as the plain loop of the same turn; the sweep: how much dearer."""
    pairs = [
        ("plain frozen", "kennel frozen, first"),
        ("plain frozen", "kennel frozen, later"),
        ("plain full", "kennel full"),
        ("plain full", "kennel full, fp32"),
        ("kennel full, synthetic", "kennel full, warm"),
        ("kennel full, as written", "kennel full, compiled"),
        ("plain full", "reference full"),
        ("sweep of 18 trials", "job of 3 epochs"),
    ]
    return {
        f"{one} / {other}": spread([turn[one] / turn[other] for turn in turns])
        for one, other in pairs
        if one in turns[0]
    }


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


if __name__ == "__main__":
    raise SystemExit(main())

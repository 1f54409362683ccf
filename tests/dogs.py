"""The real job, trained once for all tests: ResNet50's head on photos of ten dog breeds."""

import hashlib
import shutil
from pathlib import Path

from tests.build_cache import make_once
from tests.opt_ml import OptMl

ROOT = Path(__file__).parents[1]
SOURCES = ("train", "classifier", "pictures")
PHOTOS = {"train": 20, "valid": 10, "test": 10}  # of each breed
SETTINGS: dict[str, object] = {
    "architecture": "resnet50",
    "trainable": "head",
    "epochs": 8,
    "feature_views": 1,
    "batch_size": 32,
    "learning_rate": 0.05,
}


def train(real_data: Path) -> OptMl:
    """Train, or return the cached job if code, settings and photos are the same."""
    digest = hashlib.sha256(repr((SETTINGS, PHOTOS)).encode())
    for folder in SOURCES:
        for source in sorted((ROOT / folder).rglob("*.py")):
            digest.update(source.read_bytes())
    digest.update((ROOT / "docker" / "locks" / "train.txt").read_bytes())
    name = f"dogs-{digest.hexdigest()[:16]}"
    return OptMl(make_once(name, lambda folder: _train(folder, real_data)))


def _train(folder: Path, real_data: Path) -> None:
    channel = folder / "weights"
    channel.mkdir(parents=True)
    (channel / "resnet50.pth").symlink_to(real_data / "weights" / "resnet50-imagenet-fp16.pth")
    photos = folder / "photos"
    for split, count in PHOTOS.items():
        for breed in (real_data / "dogs" / split).iterdir():
            (photos / split / breed.name).mkdir(parents=True)
            for photo in sorted(breed.iterdir())[:count]:
                (photos / split / breed.name / photo.name).symlink_to(photo)
    job = OptMl.lay_out(folder, {"dogs": photos, "pretrained": channel}, SETTINGS)
    code, log = job.run(timeout=1800)
    assert code == 0, log
    for unused in ("photos", "checkpoints"):
        shutil.rmtree(folder / unused)

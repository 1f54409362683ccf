"""The real job, once for all tests: ResNet50 on real dogs, through the training entry."""

import hashlib
import shutil
from pathlib import Path

from tests.kept import once
from tests.opt_ml import OptMl

ROOT = Path(__file__).parents[1]
SETTINGS: dict[str, object] = {
    "architecture": "resnet50",
    "trainable": "head",
    "epochs": 1,
    "batch_size": 32,
    "learning_rate": 0.05,
}


def train(real_data: Path) -> OptMl:
    """Train, or take what this very code has trained before: minutes of two cores are spared.

    The folder's name is a digest of all that the result depends on.
    """
    sources = sorted([*(ROOT / "train").glob("*.py"), *(ROOT / "classifier").glob("*.py")])
    digest = hashlib.sha256(repr(SETTINGS).encode())
    for source in (*sources, ROOT / "docker" / "locks" / "train.txt"):
        digest.update(source.read_bytes())
    return OptMl(once(f"dogs-{digest.hexdigest()[:16]}", lambda folder: _train(folder, real_data)))


def _train(folder: Path, real_data: Path) -> None:
    channel = folder / "weights"
    channel.mkdir(parents=True)
    (channel / "resnet50.pth").symlink_to(real_data / "weights" / "resnet50-imagenet-fp16.pth")
    job = OptMl.lay_out(folder, {"dogs": real_data / "dogs", "pretrained": channel}, SETTINGS)
    code, log = job.run(timeout=1800)
    assert code == 0, log
    shutil.rmtree(folder / "checkpoints")

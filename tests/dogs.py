"""The real job, once for all tests: ResNet50 on real dogs, through the training entry."""

import hashlib
import shutil
from pathlib import Path

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
    kept = ROOT / "build" / f"dogs-{digest.hexdigest()[:16]}"
    if not (kept / "output" / "success").is_file():  # which a job leaves at its very end
        shutil.rmtree(kept, ignore_errors=True)
        channel = kept / "weights"
        channel.mkdir(parents=True)
        (channel / "resnet50.pth").symlink_to(real_data / "weights" / "resnet50-imagenet-fp16.pth")
        job = OptMl.lay_out(kept, {"dogs": real_data / "dogs", "pretrained": channel}, SETTINGS)
        code, log = job.run(timeout=1800)
        assert code == 0, log
        shutil.rmtree(kept / "checkpoints")
    return OptMl(kept)

"""Pictures of two classes that no two are alike, for tests of the check and the upload."""

import random
from pathlib import Path

from PIL import Image


def scene(seed: int) -> Image.Image:
    """A picture with structure; each seed gives a different one."""
    chance = random.Random(seed)  # noqa: S311
    small = Image.new("RGB", (8, 8))
    small.putdata([tuple(chance.randrange(256) for _ in "rgb") for _ in range(64)])
    return small.resize((160, 120), Image.Resampling.BICUBIC)


def write(root: Path) -> Path:
    """Write six different pictures of two classes, in train and test."""
    for seed, place in enumerate(
        ["train/cat/1", "train/cat/2", "train/dog/1", "train/dog/2", "test/cat/1", "test/dog/1"]
    ):
        file = root / f"{place}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        scene(seed).save(file)
    return root

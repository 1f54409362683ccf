"""Writes scikit-learn's handwritten digits as folders of pictures: data without a download.

The digits come from UCI's "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak).
"""

from pathlib import Path

SPLITS = {"train": 0.7, "valid": 0.15, "test": 0.15}
SIDE = 32  # pixels; the originals are 8 x 8


def write(root: Path, limit: int | None = None) -> dict[str, int]:
    """Write `root/<split>/<digit>/<number>.png`; a digit is always in the same split.

    Args:
        root: created if missing.
        limit: the number of pictures; None for all 1,797.

    Returns:
        The number of pictures in each split.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    total = min(limit or len(digits.target), len(digits.target))
    ends = np.cumsum([round(share * total) for share in SPLITS.values()])
    counts = dict.fromkeys(SPLITS, 0)
    for position, index in enumerate(np.random.default_rng(0).permutation(total)):
        split = next((s for s, end in zip(SPLITS, ends, strict=True) if position < end), "test")
        folder = root / split / str(digits.target[index])
        folder.mkdir(parents=True, exist_ok=True)
        grey = (digits.images[index] * (255 / 16)).astype(np.uint8)
        picture = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:04d}.png")
        counts[split] += 1
    return counts

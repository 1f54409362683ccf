"""Wrongly answered pictures, as small JPEGs for the report: of each pair of classes the surest."""

import base64
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from PIL import Image

from train.batches.batch import Batch

SIDE = 96  # pixels of a thumbnail's longer side
MOST = 60  # thumbnails in a recording: 4 kB each
EACH = 3  # of a pair of classes
_STORED = 2_000  # until the most frequent pairs are known
_QUALITY = 75


@dataclass(order=True)
class Found:
    """A wrong answer; classes are numbers, `thumbnail` is a JPEG in base64."""

    probability: float
    name: str
    truth: int
    answer: int
    thumbnail: str


@dataclass
class Mistakes:
    """Collects the wrong answers of one pass over named pictures."""

    _pairs: Counter[tuple[int, int]] = field(default_factory=Counter)
    _best: dict[tuple[int, int], list[Found]] = field(default_factory=dict)
    _stored: int = 0

    def add(self, batch: Batch, logits: torch.Tensor) -> None:
        """Store the surest wrong answers of a batch of bytes; logits are [B, classes]."""
        if not batch.names or batch.images.dtype != torch.uint8:
            return
        probabilities, answers = logits.detach().float().softmax(1).max(1)
        rows = zip(answers.tolist(), batch.labels.tolist(), probabilities.tolist(), strict=True)
        for row, (answer, truth, probability) in enumerate(rows):
            if answer != truth:
                self._pairs[truth, answer] += 1
                self._keep(batch, row, truth, answer, probability)

    def _keep(self, batch: Batch, row: int, truth: int, answer: int, probability: float) -> None:
        known = self._best.setdefault((truth, answer), [])
        full = len(known) >= EACH
        if (full and probability <= known[-1].probability) or (
            not full and self._stored >= _STORED
        ):
            return
        thumbnail = _thumbnail(batch.images[row])
        known.append(Found(probability, batch.names[row], truth, answer, thumbnail))
        known.sort(reverse=True)
        if full:
            known.pop()
        else:
            self._stored += 1

    def take(self) -> Iterator[Found]:
        """Yield the stored pictures of the most frequent pairs first, and forget everything."""
        pairs, best = self._pairs.most_common(), self._best
        self._pairs, self._best, self._stored = Counter(), {}, 0
        found = [item for pair, _ in pairs for item in best.get(pair, ())]
        yield from found[:MOST]


def _thumbnail(pixels: torch.Tensor) -> str:
    """Return uint8 pixels [3, H, W] as a small JPEG in base64."""
    image = Image.fromarray(pixels.permute(1, 2, 0).cpu().contiguous().numpy())
    image.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return base64.b64encode(out.getvalue()).decode()

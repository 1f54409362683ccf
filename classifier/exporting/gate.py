"""Whether the network in 8 bits is as good as in float32: only then is its file kept."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from classifier.description import Int8
from classifier.exporting import session
from classifier.exporting.quantising import METHOD
from classifier.golden import Golden, inputs
from classifier.transform import EvaluationTransform, Floats

LOSS = 0.003  # of top-1 that 8 bits may cost
# With no picture lost among n, the true loss is under 3 / n with 95 % confidence: 3 points here.
LEAST_PICTURES = 100

Labelled = Iterable[tuple[Floats, list[int]]]


class Refused(ValueError):
    """A network in 8 bits that is not kept; the message says why."""


@dataclass
class _Counts:
    pictures: int = 0
    right: int = 0
    right_fp32: int = 0
    classes: set[int] = field(default_factory=set)


def judge(
    model: bytes,
    quantised: bytes,
    golden: Golden,
    transform: EvaluationTransform,
    batches: Labelled,
    *,
    flip: bool,
    until: float,
) -> Int8:
    """Compare both networks on the golden inputs and on validation pictures.

    Args:
        model: the network in float32.
        quantised: in 8 bits.
        golden: of the bundle.
        transform: of the bundle.
        batches: validation pictures [B, 3, H, W] and their classes, a fair sample in any beginning.
        flip: the logits are the mean of the picture and its mirror image.
        until: time.monotonic() at which it decides with the pictures that it has seen.

    Returns:
        Both accuracies.

    Raises:
        Refused: a golden prediction differs, top-1 is over 0.3 points lower (with fewer than 334
            pictures: a single right answer less in sum), or the pictures are too few or of one
            class.
    """
    fp32 = session.predictor(model, flip=flip)
    int8 = session.predictor(quantised, flip=flip)
    logits = int8(inputs(golden.photos, transform))
    difference = golden.difference(logits)
    if not np.isfinite(difference):
        raise Refused("its logits of the golden inputs are not finite numbers")
    changed = int((logits.argmax(1) != golden.logits.argmax(1)).sum())
    if changed:
        raise Refused(f"{changed} of {len(logits)} golden inputs are another class")
    counts = _count(int8, fp32, batches, until)
    if len(counts.classes) == 1:
        raise Refused(
            "all validation pictures are of one class, and a network that always names it would "
            "be as good"
        )
    if counts.pictures < LEAST_PICTURES:
        raise Refused(
            f"it could be compared on {counts.pictures} labelled validation pictures, and "
            f"{LEAST_PICTURES} are needed"
        )
    accuracy = counts.right / counts.pictures
    accuracy_fp32 = counts.right_fp32 / counts.pictures
    if counts.right < counts.right_fp32 - int(LOSS * counts.pictures):
        raise Refused(
            f"its top-1 accuracy is {accuracy:.4f}, and {accuracy_fp32:.4f} in float32, on "
            f"{counts.pictures} validation pictures: at most {LOSS:.3f} less is kept"
        )
    return Int8(
        accuracy=accuracy,
        accuracy_fp32=accuracy_fp32,
        pictures=counts.pictures,
        difference=difference,
        method=METHOD,
    )


def _count(
    int8: Callable[[Floats], Floats],
    fp32: Callable[[Floats], Floats],
    batches: Labelled,
    until: float,
) -> _Counts:
    counts = _Counts()
    for pixels, labels in batches:
        answers = np.asarray(labels)
        counts.right += int((int8(pixels).argmax(1) == answers).sum())
        counts.right_fp32 += int((fp32(pixels).argmax(1) == answers).sum())
        counts.pictures += len(labels)
        counts.classes.update(labels)
        if time.monotonic() > until and counts.pictures >= LEAST_PICTURES:
            break
    return counts

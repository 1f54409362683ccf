"""Facts about the model: health of its layers, and the confusion matrix."""

import base64
import math
from collections import Counter

import numpy as np

from debugger.records import Confusion, Statistics
from debugger.report import facts
from debugger.report.analysis.gathering import Gathered

_PAIRS = 20
_PICTURES = 60  # thumbnails at most
_THUMBNAIL = 20_000  # characters of base64 at most: a recording can come from anybody


def layers(gathered: Gathered) -> list[facts.Layer]:
    """Return the health of each recorded tensor, in the order of the network."""
    return [
        _layer(collection, name, [item for _, item in seen])
        for (collection, name), seen in gathered.tensors.items()
    ]


def _layer(collection: str, name: str, seen: list[Statistics]) -> facts.Layer:
    return facts.Layer(
        collection=collection,
        name=name,
        size=seen[-1].size,
        records=len(seen),
        l2=_median([item.l2 for item in seen]),
        change=_median([item.change for item in seen]),
        zeros=max(item.zeros for item in seen),
        nonfinite=max(item.nonfinite for item in seen),
        dead=_greatest([item.dead for item in seen]),
        saturated=_greatest([item.saturated for item in seen]),
    )


def confusion(record: Confusion | None, names: list[str]) -> facts.Confusion | None:
    """Return the results of the last evaluation by class; None if none was recorded.

    Args:
        record: counts by class numbers.
        names: names of the classes; classes without a name get "class <number>".
    """
    if record is None or not record.counts:
        return None
    names = [*names, *(f"class {i}" for i in range(len(names), record.classes))]
    truths: Counter[int] = Counter()
    answers: Counter[int] = Counter()
    right: Counter[int] = Counter()
    for truth, answer, pictures in record.counts:
        truths[truth] += pictures
        answers[answer] += pictures
        if truth == answer:
            right[truth] += pictures
    total = sum(truths.values())
    wrong = sorted(
        (item for item in record.counts if item[0] != item[1]),
        key=lambda item: (-item[2], item[:2]),
    )
    return facts.Confusion(
        split=record.split,
        step=record.step,
        epoch=record.epoch,
        pictures=total,
        accuracy=sum(right.values()) / total if total else 0.0,
        classes=[
            facts.Class(
                name=names[i],
                pictures=truths[i],
                recall=right[i] / truths[i] if truths[i] else None,
                precision=right[i] / answers[i] if answers[i] else None,
            )
            for i in range(record.classes)
        ],
        pairs=[
            facts.Pair(
                truth=names[truth],
                answer=names[answer],
                pictures=pictures,
                share=pictures / truths[truth],
            )
            for truth, answer, pictures in wrong[:_PAIRS]
        ],
    )


def mistakes(gathered: Gathered, names: list[str]) -> list[facts.Mistake]:
    """Return the pictures with wrong answers; those whose thumbnail is no small JPEG are left out.

    The pairs of classes with the most pictures come first, as in the recording.
    """
    return [
        facts.Mistake(
            split=item.split,
            # A file name that is not UTF-8 has surrogates, which a page cannot hold.
            name=item.name.encode(errors="backslashreplace").decode(),
            truth=_name(names, item.truth),
            answer=_name(names, item.answer),
            probability=item.probability,
            thumbnail=item.thumbnail,
        )
        for item in gathered.mistakes[-_PICTURES:]
        if _is_jpeg(item.thumbnail) and isinstance(item.name, str)
    ]


def _name(names: list[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else f"class {number}"


def _is_jpeg(text: object) -> bool:
    """Whether a text from a recording is a small JPEG in base64."""
    if not isinstance(text, str) or len(text) > _THUMBNAIL:
        return False
    try:
        return base64.b64decode(text, validate=True).startswith(b"\xff\xd8\xff")
    except ValueError:
        return False


def class_names(about: dict[str, object]) -> list[str]:
    """Return the class names, if the facts of the job have them."""
    classes = about.get("class_names") or about.get("classes")
    return [str(item) for item in classes] if isinstance(classes, list | tuple) else []


def _median(values: list[float | None]) -> float | None:
    finite = [item for item in values if item is not None and math.isfinite(item)]
    return float(np.median(finite)) if finite else None


def _greatest(values: list[float | None]) -> float | None:
    given = [item for item in values if item is not None]
    return max(given) if given else None

"""Adds the exports to a bundle on disk: first in float32, then in 8 bits if that is as good.

kennel.json is written last each time, so a bundle is whole whenever the process ends.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from torch import nn

from classifier import bundle, networks
from classifier.description import (
    DESCRIPTION,
    GOLDEN,
    MODEL,
    ONNX,
    ONNX_INT8,
    Description,
    Export,
    Int8,
    read,
)
from classifier.exporting import gate, maps, network, quantising, session
from classifier.exporting.gate import Refused
from classifier.exporting.network import ExportError
from classifier.transform import EvaluationTransform, Floats
from pictures.decoder import ImageError
from pictures.picture import Picture
from pictures.shards import ShardError

_BATCH = 8


def export(
    directory: Path,
    calibration: Sequence[Picture] = (),
    validation: Sequence[Picture] = (),
    *,
    int8: bool,
    say: Callable[[str], None],
    until: float = float("inf"),
) -> Export:
    """Write `model.onnx` into a bundle's folder, and `model.int8.onnx` if it is as good.

    Args:
        directory: of the bundle. Exports that it has are made again.
        calibration: pictures of training.
        validation: labelled pictures that were not trained on, in random order.
        int8: whether to make the file in 8 bits.
        say: prints a line.
        until: time.monotonic() at which the comparison of both ends.

    Raises:
        BundleError: the bundle does not load.
        ExportError: the network cannot be exported; the bundle has no exports then.
    """
    loaded = bundle.load(directory)
    description, golden = _without(loaded.description), loaded.golden
    plain = _plain(loaded)
    try:
        model = network.export(plain, description.transform.crop)
        predict = session.predictor(model, flip=description.test_time_flip)
        parity = golden.replay(description.transform, predict)
        if parity > network.PARITY:
            raise ExportError(f"its golden logits differ from torch's by {parity:.1e}")
    except ExportError as error:
        _write(directory, _noted(description, "onnx", str(error)), {})
        raise
    opset = max(one.version for one in onnx.load_from_string(model).opset_import if not one.domain)
    found = Export(opset=opset, parity=parity, head=maps.head(model, plain))
    _write(directory, description, {})  # earlier exports served until here
    description = description.model_copy(update={"export": found})
    _write(directory, description, {ONNX: model})
    say(f"{ONNX}: the golden logits are within {parity:.1e} of torch's")
    if not int8:
        return found
    try:
        inputs = (pixels for pixels, _ in _batches(calibration, description.transform))
        quantised = quantising.quantise(model, _in_time(inputs, until))
        judged = gate.judge(
            model,
            quantised,
            golden,
            description.transform,
            _batches(validation, description.transform),
            flip=description.test_time_flip,
            until=until,
        )
    except Exception as error:  # the quantiser raises anything
        reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        _write(directory, _noted(description, "int8", reason), {ONNX: model})
        say(f"no {ONNX_INT8}: {reason}")
        return found
    found = found.model_copy(update={"int8": judged})
    description = description.model_copy(update={"export": found})
    _write(directory, description, {ONNX: model, ONNX_INT8: quantised})
    say(_sentence(judged))
    return found


def _sentence(judged: Int8) -> str:
    return (
        f"{ONNX_INT8}: top-1 {judged.accuracy:.4f}, and {judged.accuracy_fp32:.4f} in float32, on "
        f"{judged.pictures} validation pictures"
    )


def _without(description: Description) -> Description:
    """Return a description without exports and what was noted of them."""
    training = {name: value for name, value in description.training.items() if name != "export"}
    return description.model_copy(update={"export": None, "training": training})


def _noted(description: Description, which: str, reason: str) -> Description:
    """Return a description that says why an export is not there."""
    note = {"export": {which: reason[:1000]}}
    return description.model_copy(update={"training": description.training | note})


def _write(directory: Path, description: Description, exports: dict[str, bytes]) -> None:
    described = read(directory)
    files = {name: described.contents(name) for name in (MODEL, GOLDEN)}
    new = exports | {DESCRIPTION: description.encode(files | exports)}
    bundle.put(directory, new)
    bundle.tidy(directory)


def _plain(loaded: bundle.Bundle) -> nn.Module:
    """Return the network without test-time flip: a server averages both views itself."""
    description = loaded.description
    plain = networks.blank(
        description.architecture, len(description.classes), image_size=description.transform.crop
    )
    plain.load_state_dict(loaded.network.state_dict(), assign=True)
    return plain.eval().requires_grad_(False)


def _batches(
    pictures: Iterable[Picture], transform: EvaluationTransform
) -> Iterator[tuple[Floats, list[int]]]:
    """Yield pixels [B, 3, H, W] and classes; pictures that cannot be read are left out."""
    readable = _readable(pictures, transform)
    while batch := list(islice(readable, _BATCH)):
        yield np.stack([pixels for pixels, _ in batch]), [label for _, label in batch]


def _readable(
    pictures: Iterable[Picture], transform: EvaluationTransform
) -> Iterator[tuple[Floats, int]]:
    for picture in pictures:
        try:
            yield transform.read(picture.read()), picture.label
        except (ImageError, ShardError, OSError):
            continue  # the job or the command has counted it


def _in_time(batches: Iterator[Floats], until: float) -> Iterator[Floats]:
    """Yield from `batches`.

    Raises:
        Refused: there are none, or the time is up.
    """
    first = next(batches, None)
    if first is None:
        raise Refused("there are no pictures to quantise it with")
    yield first
    for batch in batches:
        if time.monotonic() > until:
            raise Refused("the time was up while it was quantised")
        yield batch

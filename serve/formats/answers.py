"""The formats of an answer: how predictions are written.

A new format is one entry in `FORMATS`; `accepting.py` selects one. No torch and no numpy here: the
supervisor uses this table too.
"""

import base64
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from serve.errors import RequestError
from serve.formats.options import Options

JSON = "application/json"
LINES = "application/jsonlines"
NPY = "application/x-npy"
# TorchServe's image classifier and Hugging Face's pipeline both return five classes.
_DEFAULT_K = 5


@dataclass(frozen=True)
class Prediction:
    """The network's output for one picture.

    Args:
        logits: raw outputs [C], in the order of `classes`.
        classes: display names [C].
        temperature: probabilities are softmax(logits / temperature).
        novelty: how different from the training pictures it is, 0 to 1; None if not measured.
        heat_map: a PNG of the regions that led to the most likely class, if asked for.
        heat_map_share: the side of the square in the photo's centre that it covers, as a share of
            the photo's shorter side.
        is_normalised: whether `logits` are probabilities already, as a user's code can return.
    """

    logits: tuple[float, ...]
    classes: tuple[str, ...]
    temperature: float = 1.0
    novelty: float | None = None
    heat_map: bytes | None = None
    heat_map_share: float | None = None
    is_normalised: bool = False

    def probabilities(self) -> list[float]:
        """Return softmax(logits / temperature): [C], summing to 1.

        Raises:
            ValueError: a logit is not a finite number.
        """
        if not all(map(math.isfinite, self.logits)):
            raise ValueError("Out of range float values are not JSON compliant")
        if self.is_normalised:
            return list(self.logits)
        greatest = max(self.logits)
        weights = [math.exp((logit - greatest) / self.temperature) for logit in self.logits]
        total = sum(weights)
        return [weight / total for weight in weights]

    def ranked(self, options: Options, default_k: int | None = None) -> list[tuple[str, float]]:
        """Return (class, probability), the most likely first.

        Args:
            options: top_k and threshold are used.
            default_k: how many classes without top_k; None is all.
        """
        pairs = zip(self.classes, self.probabilities(), strict=True)
        order = sorted(pairs, key=lambda pair: pair[1], reverse=True)
        return [
            pair for pair in order[: options.top_k or default_k] if pair[1] >= options.threshold
        ]


@dataclass(frozen=True)
class Format:
    """One way to write predictions.

    Args:
        accept: the media type that selects it, as a client writes it.
        content_type: the media type of the answer.
        write: writes one picture's prediction.
        join: joins the written predictions of a list.
        has_labels: whether it names classes, so that top_k and threshold apply.
        has_extras: whether it has fields for novelty and heat map.
        single: writes the answer of a picture that is no list, from its written prediction.
    """

    accept: str
    content_type: str
    write: Callable[[Prediction, Options], bytes]
    join: Callable[[Sequence[bytes]], bytes]
    has_labels: bool = False
    has_extras: bool = False
    single: Callable[[bytes], bytes] = bytes

    @property
    def is_lines(self) -> bool:
        """Whether it writes JSON values on lines of their own."""
        return self.content_type == LINES

    @property
    def as_lines(self) -> "Format":
        """The format that writes the same on lines of their own; itself if there is none."""
        wanted = self.accept.replace(JSON, LINES, 1)
        return next((one for one in FORMATS if one.accept == wanted), self)

    def check(self, options: Options) -> None:
        """Refuse options that this format cannot express.

        Raises:
            RequestError: 400, naming the formats that can.
        """
        if options.ranked and not self.has_labels:
            fitting = ", ".join(one.accept for one in FORMATS if one.has_labels)
            raise RequestError(
                400,
                f"{self.accept} always lists all classes in order",
                f"with top_k accept {fitting}",
            )
        if options.explain and not self.has_extras:
            fitting = ", ".join(one.accept for one in FORMATS if one.has_extras)
            raise RequestError(
                400, f"{self.accept} has no field for a heat map", f"with explain accept {fitting}"
            )

    def encode(
        self,
        predictions: Sequence[Prediction],
        options: Options,
        *,
        is_list: bool = False,
        errors: Mapping[int, bytes] | None = None,
    ) -> bytes:
        """Return the body: of one picture, or of a list.

        Args:
            predictions: of the good pictures.
            options: of the request.
            is_list: whether the pictures came as a list.
            errors: what to write for the bad lines of JSON Lines, by their index among all lines.

        Raises:
            ValueError: a logit is not a finite number.
        """
        written = [self.write(prediction, options) for prediction in predictions]
        for index in sorted(errors or {}):
            assert errors
            written.insert(index, errors[index].strip())
        return self.join(written) if is_list else self.single(written[0])


def _dump(value: object) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _array(written: Sequence[bytes]) -> bytes:
    return b"[" + b", ".join(written) + b"]"


# Without a line end after the last line: a batch transform adds one (AssembleWith Line), and a
# second one would be an empty line.
_on_lines = b"\n".join


def _raw(prediction: Prediction, _: Options) -> bytes:
    """Write the raw outputs in class order; the client takes the largest."""
    return _dump(prediction.logits)


def _verbose(prediction: Prediction, options: Options) -> bytes:
    """Write labelled probabilities as JumpStart's image classifiers do, in class order.

    With top_k or threshold they are sorted. `predicted_label` is null below the threshold.

    Source: `application/json;verbose` of the SageMaker JumpStart image classification models.
    """
    pairs = prediction.ranked(options)
    best = pairs[0][0] if pairs else None
    if not options.ranked:
        pairs = list(zip(prediction.classes, prediction.probabilities(), strict=True))
    fields: dict[str, object] = {
        "probabilities": [probability for _, probability in pairs],
        "labels": [label for label, _ in pairs],
        "predicted_label": best,
    }
    if prediction.novelty is not None:
        fields["novelty"] = prediction.novelty
    if prediction.heat_map is not None:
        encoded = base64.b64encode(prediction.heat_map).decode()
        fields["heat_map"] = f"data:image/png;base64,{encoded}"
        if prediction.heat_map_share is not None:
            fields["heat_map_share"] = prediction.heat_map_share
    return _dump(fields)


def _torchserve(prediction: Prediction, options: Options) -> bytes:
    """Write {label: probability} of the five most likely, as TorchServe's image_classifier."""
    return _dump(dict(prediction.ranked(options, _DEFAULT_K)))


def _hugging_face(prediction: Prediction, options: Options) -> bytes:
    """Write [{"label", "score"}] as Hugging Face's image-classification pipeline."""
    pairs = prediction.ranked(options, _DEFAULT_K)
    return _dump([{"label": label, "score": score} for label, score in pairs])


def _sagemaker(prediction: Prediction, _: Options) -> bytes:
    """Write all probabilities as SageMaker's built-in image classification, one line per picture.

    Source: "Image Classification inference", application/jsonlines.
    """
    return _dump({"prediction": prediction.probabilities()})


def _csv(prediction: Prediction, _: Options) -> bytes:
    """Write all probabilities in class order, one row per picture."""
    return ",".join(map(repr, prediction.probabilities())).encode()


def _row(prediction: Prediction, _: Options) -> bytes:
    """Write the raw outputs in class order, as float32."""
    if not all(map(math.isfinite, prediction.logits)):
        raise ValueError("Out of range float values are not JSON compliant")
    return struct.pack(f"<{len(prediction.logits)}f", *prediction.logits)


def _npy(shape: tuple[int, ...], data: bytes) -> bytes:
    """Return a file of numpy.save, float32 of this shape.

    Source: numpy.lib.format, version 1.0.
    """
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    start = b"\x93NUMPY\1\0"
    padding = -(len(start) + 2 + len(header) + 1) % 64
    header += b" " * padding + b"\n"
    return start + struct.pack("<H", len(header)) + header + data


def _npy_list(rows: Sequence[bytes]) -> bytes:
    return _npy((len(rows), len(rows[0]) // 4), b"".join(rows))


def _npy_single(row: bytes) -> bytes:
    return _npy((len(row) // 4,), row)


# The first is the default. Parameters such as `verbose` select a layout and not a type, so they are
# not repeated in the answer's Content-Type.
FORMATS = (
    Format(JSON, JSON, _raw, _array),
    Format(f"{JSON};verbose", JSON, _verbose, _array, has_labels=True, has_extras=True),
    Format(f"{JSON};torchserve", JSON, _torchserve, _array, has_labels=True),
    Format(f"{JSON};huggingface", JSON, _hugging_face, _array, has_labels=True),
    Format(LINES, LINES, _sagemaker, _on_lines),
    Format(f"{LINES};verbose", LINES, _verbose, _on_lines, has_labels=True, has_extras=True),
    Format(f"{LINES};torchserve", LINES, _torchserve, _on_lines, has_labels=True),
    Format(f"{LINES};huggingface", LINES, _hugging_face, _on_lines, has_labels=True),
    Format("text/csv", "text/csv; charset=utf-8", _csv, _on_lines),
    Format(NPY, NPY, _row, _npy_list, single=_npy_single),
)

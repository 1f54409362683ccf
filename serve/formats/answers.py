"""The formats of an answer, and how an `Accept` header selects one.

A new format is one entry in `FORMATS`. No torch here: the supervisor uses this table too.
"""

import base64
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serve.errors import RequestError
from serve.formats.options import Options

JSON = "application/json"
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
    """

    logits: tuple[float, ...]
    classes: tuple[str, ...]
    temperature: float = 1.0
    novelty: float | None = None
    heat_map: bytes | None = None

    def probabilities(self) -> list[float]:
        """Return softmax(logits / temperature): [C], summing to 1.

        Raises:
            ValueError: a logit is not a finite number.
        """
        if not all(map(math.isfinite, self.logits)):
            raise ValueError("Out of range float values are not JSON compliant")
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
    """

    accept: str
    content_type: str
    write: Callable[[Prediction, Options], str]
    join: Callable[[Sequence[str]], str]
    has_labels: bool = False
    has_extras: bool = False

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
        self, predictions: Sequence[Prediction], options: Options, *, is_list: bool = False
    ) -> bytes:
        """Return the body: of one picture, or of a list.

        Raises:
            ValueError: a logit is not a finite number.
        """
        written = [self.write(prediction, options) for prediction in predictions]
        return (self.join(written) if is_list else written[0]).encode()


def _dump(value: object) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _array(written: Sequence[str]) -> str:
    return f"[{', '.join(written)}]"


def _raw(prediction: Prediction, _: Options) -> str:
    """Write the raw outputs in class order; the client takes the largest."""
    return _dump(prediction.logits)


def _verbose(prediction: Prediction, options: Options) -> str:
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
    return _dump(fields)


def _torchserve(prediction: Prediction, options: Options) -> str:
    """Write {label: probability} of the five most likely, as TorchServe's image_classifier."""
    return _dump(dict(prediction.ranked(options, _DEFAULT_K)))


def _hugging_face(prediction: Prediction, options: Options) -> str:
    """Write [{"label", "score"}] as Hugging Face's image-classification pipeline."""
    pairs = prediction.ranked(options, _DEFAULT_K)
    return _dump([{"label": label, "score": score} for label, score in pairs])


def _json_lines(prediction: Prediction, _: Options) -> str:
    """Write all probabilities as SageMaker's built-in image classification, one line per picture.

    Source: "Image Classification inference", application/jsonlines.
    """
    return _dump({"prediction": prediction.probabilities()}) + "\n"


def _csv(prediction: Prediction, _: Options) -> str:
    """Write all probabilities in class order, one row per picture."""
    return ",".join(map(repr, prediction.probabilities())) + "\n"


# The first is the default. Parameters such as `verbose` select a layout and not a type, so they are
# not repeated in the answer's Content-Type.
FORMATS = (
    Format(JSON, JSON, _raw, _array),
    Format(f"{JSON};verbose", JSON, _verbose, _array, has_labels=True, has_extras=True),
    Format(f"{JSON};torchserve", JSON, _torchserve, _array, has_labels=True),
    Format(f"{JSON};huggingface", JSON, _hugging_face, _array, has_labels=True),
    Format("application/jsonlines", "application/jsonlines", _json_lines, "".join),
    Format("text/csv", "text/csv; charset=utf-8", _csv, "".join),
)


@dataclass(frozen=True)
class _Range:
    """One element of an Accept header (RFC 9110, section 12.5.1)."""

    kind: str
    subtype: str
    parameters: frozenset[str]
    quality: float

    @classmethod
    def parse(cls, text: str) -> "_Range | None":
        """Read `type/subtype;parameter;q=0.5`; return None if it is malformed."""
        media, *rest = (part.strip().lower() for part in text.split(";"))
        kind, slash, subtype = media.partition("/")
        if not (slash and kind and subtype):
            return None
        quality = 1.0
        parameters = set()
        for parameter in filter(None, rest):
            name, _, value = (piece.strip() for piece in parameter.partition("="))
            if name == "q":
                try:
                    quality = float(value)
                except ValueError:
                    return None
            elif (name, value.strip('"')) != ("charset", "utf-8"):  # JSON is always UTF-8
                parameters.add(f"{name}={value}" if value else name)
        return cls(kind, subtype, frozenset(parameters), quality)

    def includes(self, other: "_Range") -> bool:
        """Return whether this range includes the media type `other`."""
        return (
            self.kind in ("*", other.kind)
            and self.subtype in ("*", other.subtype)
            and self.parameters <= other.parameters
        )

    @property
    def specificity(self) -> tuple[bool, bool, int]:
        """Sort key: `*/*` is the least specific, a type with parameters the most."""
        return (self.kind != "*", self.subtype != "*", len(self.parameters))


def choose(accept: str | None, default: Format = FORMATS[0]) -> Format:
    """Return the format that an `Accept` header selects.

    The highest q wins, then the most specific range, then the order of `FORMATS`.

    Args:
        accept: the header; None, empty and `*/*` select `default`.
        default: for clients that do not choose.

    Raises:
        RequestError: 406, naming the formats that exist.
    """
    if accept is None or accept.strip() in ("", "*/*"):
        return default
    ranges = [parsed for part in accept.split(",") if (parsed := _Range.parse(part))]
    best: tuple[float, tuple[bool, bool, int]] | None = None
    chosen = None
    for candidate in FORMATS:
        offered = _Range.parse(candidate.accept)
        assert offered is not None
        fitting = [wanted for wanted in ranges if wanted.includes(offered)]
        if not fitting:
            continue
        closest = max(fitting, key=lambda wanted: wanted.specificity)
        rank = (closest.quality, closest.specificity)
        if closest.quality > 0 and (best is None or rank > best):
            best, chosen = rank, candidate
    if chosen is None:
        raise RequestError(
            406,
            f"no answer format for Accept {accept[:200]!r}",
            f"accept one of: {', '.join(known.accept for known in FORMATS)}",
        )
    return chosen

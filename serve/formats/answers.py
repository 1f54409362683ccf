"""What an answer looks like: the formats, and which of them an `Accept` header asks for.

A new format is one entry in `FORMATS`. No torch here: the supervisor reads this table too.
"""

import base64
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serve.errors import RequestError
from serve.formats.options import Wishes

JSON = "application/json"
# TorchServe's image classifier and Hugging Face's pipeline both name five.
_USUAL_K = 5


@dataclass(frozen=True)
class Prediction:
    """What the network said about one picture.

    Args:
        logits: raw outputs [C], in the order of `classes`.
        classes: display names [C].
        temperature: probabilities are softmax(logits / temperature).
        novelty: how unlike the training pictures it is, 0 to 1, where the bundle can tell.
        heat_map: a PNG of what spoke for the likeliest class, where it was wished for.
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

    def ranked(self, wishes: Wishes, usual: int | None = None) -> list[tuple[str, float]]:
        """Return (class, probability) as wished for, the likeliest first.

        Args:
            wishes: top_k and threshold count here.
            usual: how many classes where no top_k is wished for; None is all.
        """
        pairs = zip(self.classes, self.probabilities(), strict=True)
        order = sorted(pairs, key=lambda pair: pair[1], reverse=True)
        return [pair for pair in order[: wishes.top_k or usual] if pair[1] >= wishes.threshold]


@dataclass(frozen=True)
class Format:
    """One way to write predictions.

    Args:
        accept: the media type that asks for it, as a client writes it.
        content_type: the media type of the answer.
        write: what is written for one picture.
        join: makes a body of what is written for several.
        labelled: whether it names classes, so that top_k and threshold mean something.
        roomy: whether it has a place for novelty and heat map.
    """

    accept: str
    content_type: str
    write: Callable[[Prediction, Wishes], str]
    join: Callable[[Sequence[str]], str]
    labelled: bool = False
    roomy: bool = False

    def check(self, wishes: Wishes) -> None:
        """Refuse wishes that this format has no place for.

        Raises:
            RequestError: 400, naming the formats that have one.
        """
        if wishes.ranked and not self.labelled:
            fitting = ", ".join(one.accept for one in FORMATS if one.labelled)
            raise RequestError(
                400, f"{self.accept} has all classes in order", f"with top_k accept {fitting}"
            )
        if wishes.explain and not self.roomy:
            fitting = ", ".join(one.accept for one in FORMATS if one.roomy)
            raise RequestError(
                400, f"{self.accept} has no place for a heat map", f"with explain accept {fitting}"
            )

    def encode(
        self, predictions: Sequence[Prediction], wishes: Wishes, *, several: bool = False
    ) -> bytes:
        """Return the body: for one picture, or for `several` as a list.

        Raises:
            ValueError: a logit is not a finite number.
        """
        written = [self.write(prediction, wishes) for prediction in predictions]
        return (self.join(written) if several else written[0]).encode()


def _dump(value: object) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _array(written: Sequence[str]) -> str:
    return f"[{', '.join(written)}]"


def _raw(prediction: Prediction, _: Wishes) -> str:
    """Write the raw outputs in class order; the client takes the greatest."""
    return _dump(prediction.logits)


def _verbose(prediction: Prediction, wishes: Wishes) -> str:
    """Write labelled probabilities as JumpStart's image classifiers do: in class order.

    With top_k or threshold by rank. `predicted_label` is null where none reaches the threshold.

    Source: `application/json;verbose` of the SageMaker JumpStart image classification models.
    """
    pairs = prediction.ranked(wishes)
    best = pairs[0][0] if pairs else None
    if not wishes.ranked:
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


def _torchserve(prediction: Prediction, wishes: Wishes) -> str:
    """Write {label: probability} of the likeliest five, as TorchServe's image_classifier."""
    return _dump(dict(prediction.ranked(wishes, _USUAL_K)))


def _hugging_face(prediction: Prediction, wishes: Wishes) -> str:
    """Write [{"label", "score"}] as Hugging Face's image-classification pipeline."""
    pairs = prediction.ranked(wishes, _USUAL_K)
    return _dump([{"label": label, "score": score} for label, score in pairs])


def _json_lines(prediction: Prediction, _: Wishes) -> str:
    """Write all probabilities as SageMaker's built-in image classification, a line a picture.

    Source: "Image Classification inference", application/jsonlines.
    """
    return _dump({"prediction": prediction.probabilities()}) + "\n"


def _csv(prediction: Prediction, _: Wishes) -> str:
    """Write all probabilities in class order, a row a picture."""
    return ",".join(map(repr, prediction.probabilities())) + "\n"


# The first is what a client gets that does not ask. Parameters such as `verbose` are wishes and not
# types, so they are not repeated in the answer's Content-Type.
FORMATS = (
    Format(JSON, JSON, _raw, _array),
    Format(f"{JSON};verbose", JSON, _verbose, _array, labelled=True, roomy=True),
    Format(f"{JSON};torchserve", JSON, _torchserve, _array, labelled=True),
    Format(f"{JSON};huggingface", JSON, _hugging_face, _array, labelled=True),
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
        """Read `type/subtype;parameter;q=0.5`; None where it is not one."""
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

    def takes(self, other: "_Range") -> bool:
        """Say whether this range covers the media type `other`."""
        return (
            self.kind in ("*", other.kind)
            and self.subtype in ("*", other.subtype)
            and self.parameters <= other.parameters
        )

    @property
    def precision(self) -> tuple[bool, bool, int]:
        """Order by how exactly something is asked for: `*/*` first, parameters last."""
        return (self.kind != "*", self.subtype != "*", len(self.parameters))


def choose(accept: str | None, default: Format = FORMATS[0]) -> Format:
    """Return the format that an `Accept` header asks for.

    The highest q wins; among equals the one asked for most exactly, then the order of `FORMATS`.

    Args:
        accept: the header; None, empty and `*/*` ask for `default`.
        default: what a client gets that does not care.

    Raises:
        RequestError: 406, naming the formats there are.
    """
    if accept is None or accept.strip() in ("", "*/*"):
        return default
    ranges = [parsed for part in accept.split(",") if (parsed := _Range.parse(part))]
    best: tuple[float, tuple[bool, bool, int]] | None = None
    chosen = None
    for candidate in FORMATS:
        offered = _Range.parse(candidate.accept)
        assert offered is not None
        fitting = [wanted for wanted in ranges if wanted.takes(offered)]
        if not fitting:
            continue
        closest = max(fitting, key=lambda wanted: wanted.precision)
        rank = (closest.quality, closest.precision)
        if closest.quality > 0 and (best is None or rank > best):
            best, chosen = rank, candidate
    if chosen is None:
        raise RequestError(
            406,
            f"no answer can be written as {accept[:200]!r}",
            f"accept one of: {', '.join(known.accept for known in FORMATS)}",
        )
    return chosen

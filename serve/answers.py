"""What an answer looks like: the formats, and which of them an `Accept` header asks for.

A new format is one entry in `FORMATS`. No torch here: the supervisor reads this table too.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

from serve.errors import RequestError

JSON = "application/json"


@dataclass(frozen=True)
class Prediction:
    """What the network said about one picture.

    Args:
        logits: raw outputs [C], in the order of `classes`.
        classes: display names [C].
        temperature: probabilities are softmax(logits / temperature).
    """

    logits: tuple[float, ...]
    classes: tuple[str, ...]
    temperature: float = 1.0

    def probabilities(self) -> list[float]:
        """Return softmax(logits / temperature): [C], summing to 1."""
        greatest = max(self.logits)
        weights = [math.exp((logit - greatest) / self.temperature) for logit in self.logits]
        total = sum(weights)
        return [weight / total for weight in weights]


@dataclass(frozen=True)
class Format:
    """One way to write a prediction.

    Args:
        accept: the media type that asks for it, as a client writes it.
        content_type: the media type of the answer.
        encode: the writer; raises ValueError on a logit that is not a finite number.
    """

    accept: str
    content_type: str
    encode: Callable[[Prediction], bytes]


def _raw(prediction: Prediction) -> bytes:
    """Write the raw outputs in class order; the client takes the greatest."""
    return json.dumps(prediction.logits, allow_nan=False).encode()


def _verbose(prediction: Prediction) -> bytes:
    """Write labelled probabilities as JumpStart's image classifiers do.

    Source: `application/json;verbose` of the SageMaker JumpStart image classification models.
    """
    probabilities = prediction.probabilities()
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    fields = {
        "probabilities": probabilities,
        "labels": prediction.classes,
        "predicted_label": prediction.classes[best],
    }
    return json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()


# The first is what a client gets that does not ask. Every answer is JSON so far; `verbose` is a
# wish and not a type, so it is not repeated in the answer's Content-Type.
FORMATS = (
    Format(JSON, JSON, _raw),
    Format(f"{JSON};verbose", JSON, _verbose),
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

"""How an `Accept` header selects the format of an answer."""

from dataclasses import dataclass

from serve.errors import RequestError
from serve.formats.answers import FORMATS, LINES, Format

# Other names of JSON Lines; none of them is registered.
_LINES = frozenset({"jsonl", "x-jsonlines", "x-jsonl", "ndjson", "x-ndjson"})


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
        if media == "*":  # of old clients of Java, not of the RFC
            media = "*/*"
        kind, slash, subtype = media.partition("/")
        if not (slash and kind and subtype):
            return None
        if kind == "application" and subtype in _LINES:
            subtype = LINES.partition("/")[2]
        quality = 1.0
        parameters = set()
        for parameter in filter(None, rest):
            name, _, value = (piece.strip() for piece in parameter.partition("="))
            if name == "q":
                try:
                    quality = float(value)
                except ValueError:
                    return None
                if not 0 <= quality <= 1:
                    return None
            elif name != "charset":  # every answer is in UTF-8, or binary
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

    The highest q wins, then the most specific range, then for a range with `*` the default, then
    the order of `FORMATS`.

    Args:
        accept: the header; None, empty and `*/*` select `default`.
        default: for clients that do not choose.

    Raises:
        RequestError: 406, naming the formats that exist.
    """
    if accept is None or accept.strip() in ("", "*/*"):
        return default
    ranges = [parsed for part in accept.split(",") if (parsed := _Range.parse(part))]
    best: tuple[float, tuple[bool, bool, int], bool] | None = None
    chosen = None
    for candidate in FORMATS:
        offered = _Range.parse(candidate.accept)
        assert offered is not None
        fitting = [wanted for wanted in ranges if wanted.includes(offered)]
        if not fitting:
            continue
        closest = max(fitting, key=lambda wanted: wanted.specificity)
        preferred = candidate is default and closest.subtype == "*"
        rank = (closest.quality, closest.specificity, preferred)
        if closest.quality > 0 and (best is None or rank > best):
            best, chosen = rank, candidate
    if chosen is None:
        raise RequestError(
            406,
            f"no answer format for Accept {accept[:200]!r}",
            f"accept one of: {', '.join(known.accept for known in FORMATS)}",
        )
    return chosen

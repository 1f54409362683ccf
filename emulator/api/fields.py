"""Which fields of a request do what they say here: nothing is accepted and forgotten.

A field is honoured, accepted without effect (docs/emulator.md lists these), or refused by name. A
field that botocore's model has and this file does not is refused, too.
"""

from dataclasses import dataclass
from typing import Literal

from werkzeug.datastructures import Headers

from emulator import contract
from emulator.contract import Record
from emulator.errors import ApiError, Invalid

Fate = Literal["honoured", "ignored", "refused", "unknown"]


@dataclass(frozen=True)
class Fields:
    """The fields of one operation, as paths separated by spaces; lists and maps have no step.

    Args:
        honoured: single values, and maps as a whole.
        ignored: accepted without effect, with all that is below.
        refused: with all that is below.
    """

    honoured: str
    ignored: str = ""
    refused: str = ""

    def below(self, path: str) -> "Fields":
        """Return the fields as members of `path`."""
        return Fields(*(_prefixed(path, text) for text in self._texts()))

    def __add__(self, other: "Fields") -> "Fields":
        """Return the fields of both."""
        pairs = zip(self._texts(), other._texts(), strict=True)
        return Fields(*(f"{mine} {theirs}" for mine, theirs in pairs))

    def fate(self, path: str) -> Fate:
        """Return what becomes of a field."""
        if path in self.honoured.split():
            return "honoured"
        if _covers(self.ignored, path):
            return "ignored"
        return "refused" if _covers(self.refused, path) else "unknown"

    def _texts(self) -> tuple[str, str, str]:
        return self.honoured, self.ignored, self.refused


def _prefixed(path: str, text: str) -> str:
    return " ".join(f"{path}.{name}" for name in text.split())


def _covers(text: str, path: str) -> bool:
    return any(path == known or path.startswith(f"{known}.") for known in text.split())


def check(fields: Fields, operation: str, request: Record) -> None:
    """Refuse a request that has a field which would do nothing here.

    Raises:
        Invalid: names the fields.
    """
    refused = {
        path
        for path, value in contract.values(operation, request)
        # `false`, an empty text, list or map ask for nothing.
        if value not in (False, "", [], {}) and fields.fate(path) in ("refused", "unknown")
    }
    if refused:
        raise Invalid(_message(sorted(refused)))


def check_headers(fields: Fields, operation: str, headers: Headers) -> None:
    """Refuse an invocation with a header which the model refuses, or which would do nothing here.

    Raises:
        ApiError: ValidationError, names the fields.
    """
    if problems := contract.header_problems(operation, headers):
        raise ApiError(contract.sentence(problems), code="ValidationError", status=400)
    given = {header.lower() for header in headers.keys()}  # noqa: SIM118 - not a dict
    found = [
        name for name, header in contract.headers(operation).items() if header.lower() in given
    ]
    if refused := [name for name in found if fields.fate(name) in ("refused", "unknown")]:
        raise ApiError(_message(refused), code="ValidationError", status=400)


def _message(paths: list[str]) -> str:
    return (
        f"{', '.join(paths)}: not emulated. Remove it from the request "
        "(docs/emulator.md says what is emulated)"
    )

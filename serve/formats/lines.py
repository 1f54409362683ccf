"""JSON Lines: one picture on each line, and one line of answer for each."""

import json

from serve.errors import RequestError
from serve.formats.envelopes import MORE_VALUES, Content, check_count
from serve.formats.magic import in_utf8
from serve.formats.objects import from_value
from serve.formats.options import once

_HINT = 'each line is one JSON value with one picture: {"image": "<base64>"}'


def from_lines(body: bytes, max_pictures: int) -> Content:
    """Read one picture from each line that is not blank; a bad line harms no other line.

    The lines share one set of parameters, because the request has one answer format.

    Raises:
        RequestError: 422 for more lines or values than allowed, or the error of the first line if
            no line has a picture.
    """
    ends = body.count(b"\n")
    if ends > 2 * max_pictures + MORE_VALUES:
        check_count(ends, max_pictures)
    try:
        body = in_utf8(body)  # in UTF-16 a line does not end where its byte ends
    except UnicodeError as error:
        raise RequestError(400, f"the lines are not text ({str(error)[:100]})", _HINT) from None
    if body.count(b",") > 4 * max_pictures + MORE_VALUES:
        raise RequestError(422, "too many values in one request: one picture to a line", _HINT)
    lines = [line for line in body.split(b"\n") if line.strip()]
    check_count(len(lines), max_pictures)
    pictures: list[bytes] = []
    errors: dict[int, RequestError] = {}
    shared: dict[str, object] | None = None
    for index, line in enumerate(lines):
        try:
            picture, parameters = _read(line, index + 1)
            if shared is not None and parameters != shared:
                raise RequestError(
                    400,
                    f"line {index + 1} has other parameters than the lines before it",
                    "give all lines of a request the same parameters",
                )
            shared = parameters
            pictures.append(picture)
        except RequestError as error:
            errors[index] = error.without_frames()
    if errors and not pictures:
        raise errors[0].without_frames()
    return Content(
        tuple(pictures), is_list=True, parameters=shared or {}, is_lines=True, line_errors=errors
    )


def _read(line: bytes, number: int) -> tuple[bytes, dict[str, object]]:
    try:
        value: object = json.loads(line, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"line {number} is not JSON ({str(error)[:100]})", _HINT) from None
    except RequestError as error:
        raise RequestError(error.code, f"line {number}: {error.message}", error.hint) from None
    try:
        content = from_value(value, 1, number)
    except RequestError as error:
        if error.code == 422:
            raise RequestError(400, f"line {number} has several pictures", _HINT) from None
        if error.message.startswith("line "):
            raise
        raise RequestError(error.code, f"line {number}: {error.message}", error.hint) from None
    if not content.pictures:
        raise RequestError(400, f"line {number} has no picture", _HINT)
    (picture,) = content.pictures
    assert isinstance(picture, bytes)
    return picture, dict(content.parameters)

"""`multipart/form-data`: pictures and parameters of browsers, curl and HTTP libraries.

The `multipart` package parses it. Forms whose lines end with a bare newline, which it refuses, are
split here, and the headers of each part are read by the standard library's email parser. That
parser never reads a whole form: it goes into forms in forms, which takes minutes for 6 MB.
"""

import base64
import binascii
import json
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from functools import cached_property

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from serve.errors import RequestError
from serve.formats.base64_text import decoded
from serve.formats.envelopes import MORE_VALUES, Content, check_count
from serve.formats.magic import picture_format
from serve.formats.options import Options, once

_HINT = "send it as curl -F picture=@photo.jpg does"
_MAX_HEADERS = 16  # of a part; RFC 7578 knows three
_MAX_HEADER_LENGTH = 4096
# Of a Content-Disposition: the time of Python's parser grows with their square. RFC 7578 has two
# parameters, and names of files can have semicolons.
_MAX_SEMICOLONS = 64
_BLANK_LINE = re.compile(rb"\n\r?\n")
_MAX_FIRST_LINE = 500
# Header lines that go on in the next line: the parser joins each with all before it.
_MAX_FOLDED = 500
_BARE_BOUNDARY = re.compile(r';\s*boundary\s*=\s*([^\s";,]+)', re.IGNORECASE)
_MAX_PARAMETER = 1000  # bytes
# What a text field can be called if it is a picture in base64 or a data URL, as canvas.toDataURL
# writes it.
_PICTURES = frozenset({"data", "file", "files", "image", "images", "inputs", "photo", "picture"})
# Fields that only describe the file, or that browsers and frameworks add.
_NO_MEANING = frozenset(
    {"_charset_", "content_type", "csrf_token", "filename", "lastmodified", "mime_type", "name",
     "size", "submit", "type"}
)  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """One part of a form; header names are lower case."""

    headers: dict[str, str]
    content: bytes

    @property
    def content_type(self) -> str:
        return str(parse_options_header(self.headers.get("content-type", ""))[0])

    @cached_property
    def _disposition(self) -> dict[str, str]:
        # A message reads quotes, RFC 2231 (filename*, filename*0) and encoded words.
        given = self.headers.get("content-disposition", "")
        if given.count(";") > _MAX_SEMICOLONS:
            raise RequestError(422, "a Content-Disposition has too many parameters", _HINT)
        message = Message()
        message["Content-Disposition"] = given
        found = message.get_params([], "content-disposition", unquote=True)
        return {key.lower(): _text(value) for key, value in found}

    @property
    def name(self) -> str | None:
        given = self._disposition.get("name")
        return None if given is None else given.strip("'")

    @property
    def filename(self) -> str | None:
        """The file's name: empty where a browser's file input was left empty, None for no file."""
        given = self._disposition.get("filename")
        return None if given is None else given.strip("'")


def _text(value: object) -> str:
    return str(value[2]) if isinstance(value, tuple) else str(value)


def from_form(body: bytes, content_type: str, max_pictures: int) -> Content:
    """Read a form: files and parts of a picture's type are pictures, other parts are parameters.

    Args:
        body: the form.
        content_type: the whole header, which has the boundary.
        max_pictures: in one request.

    Raises:
        RequestError: 400, or 422 for more pictures or parts than allowed.

    Source: RFC 7578.
    """
    boundary = _boundary(content_type)
    if not boundary:
        raise RequestError(
            400,
            "the form's Content-Type has no boundary",
            "let the client write Content-Type for a form: remove the header that you set",
        )
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    first = body[:_MAX_FIRST_LINE].lstrip().partition(b"\n")[0].rstrip().decode("latin-1")
    if first.startswith("--") and delimiter not in body:
        raise RequestError(
            400,
            f"the boundary in the Content-Type is {boundary[:80]!r}, but the form begins with "
            f"{first[:80]!r}",
            f"send Content-Type: multipart/form-data; boundary={first[2:80]}",
        )
    parts_given = body.count(b"\n" + delimiter)
    if parts_given > max_pictures + MORE_VALUES:
        check_count(parts_given, max_pictures)
    folded = body.count(b"\r\n ") + body.count(b"\r\n\t")
    if folded > _MAX_FOLDED:
        raise RequestError(
            422, f"the form has {folded:,} lines that begin with a blank or a tab", _HINT
        )
    bare = delimiter + b"\n" in body and delimiter + b"\r\n" not in body
    parts = _parts_of_lines(body, delimiter) if bare else _parts(body, delimiter[2:])
    pictures: list[bytes] = []
    parameters: list[tuple[str, object]] = []
    for number, part in enumerate(parts, 1):
        picture = _read(part, number, parameters)
        if picture is not None:
            pictures.append(picture)
    check_count(len(pictures), max_pictures)
    if parameters and not pictures:
        names = ", ".join(repr(name[:30]) for name, _ in parameters[:5])
        raise RequestError(400, f"there is no picture in the form: its fields are {names}", _HINT)
    return Content(tuple(pictures), is_list=len(pictures) != 1, parameters=once(parameters))


def _boundary(content_type: str) -> str:
    """Return the boundary; empty if there is none. Clients forget the quotes that `=` needs."""
    bare = _BARE_BOUNDARY.search(content_type)
    given = bare[1] if bare else parse_options_header(content_type)[1].get("boundary", "")
    return str(given).strip("'")


def _parts(body: bytes, boundary: bytes) -> Iterator[_Part]:
    segment, content = None, b""
    try:
        # In Latin-1 every byte is a character: a file's name in another encoding is no error.
        with PushMultipartParser(
            boundary,
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_LENGTH,
            header_charset="latin-1",
        ) as parser:
            for event in parser.parse(body):
                if isinstance(event, MultipartSegment):
                    segment, content = event, b""
                elif event is None:
                    assert segment is not None
                    headers = {name.lower(): value for name, value in segment.headerlist}
                    yield _Part(headers, content)
                else:
                    content = content + event if content else bytes(event)
    except ParserLimitReached as error:
        raise RequestError(422, f"a part of the form is over a limit: {error}", _HINT) from None
    except MultipartError as error:
        raise RequestError(
            400, f"the form is damaged or cut short ({str(error)[:100]})", _HINT
        ) from None


def _parts_of_lines(body: bytes, delimiter: bytes) -> Iterator[_Part]:
    """Return the parts of a form whose lines end with a bare newline."""
    for piece in (b"\n" + body).split(b"\n" + delimiter)[1:]:
        rest, newline, part = piece.partition(b"\n")
        if rest.rstrip(b" \t\r") == b"--":
            return
        blank = _BLANK_LINE.search(b"\n" + part)
        length = blank.start() if blank else len(part)
        if length > _MAX_HEADER_LENGTH:
            raise RequestError(422, f"a part of the form has {length:,} bytes of headers", _HINT)
        if blank is None or not newline or rest.strip(b" \t\r"):
            break
        message = BytesHeaderParser().parsebytes(part[:length] + b"\n")
        headers = {name.lower(): str(value) for name, value in message.items()}
        yield _Part(headers, part[blank.end() - 1 :])
    raise RequestError(400, "the form is damaged or cut short", _HINT)


def _read(part: _Part, number: int, parameters: list[tuple[str, object]]) -> bytes | None:
    """Return the picture of a part, or add its value to `parameters`."""
    which = f"part {number} of the form"
    if part.content_type.startswith("multipart/"):
        raise RequestError(
            400,
            f"{which} is a form itself ({part.content_type[:50]}), which is not supported",
            "send each file as a part of its own, with the same name",
        )
    name, filename = part.name, part.filename
    content = _transferred(part, which)
    if filename is not None or _is_picture_type(part.content_type) or picture_format(content):
        return None if filename == "" and not content else content
    if name is None:
        raise RequestError(400, f"{which} has no name", _HINT)
    if (name in Options.model_fields or name == "parameters") and len(content) > _MAX_PARAMETER:
        raise RequestError(
            422,
            f"{which}, {name}, has over {_MAX_PARAMETER} bytes",
            "parameters are short: top_k=5",
        )
    if name in Options.model_fields:
        if content.strip():  # else a browser's input that was left empty
            parameters.append((name, content.decode("latin-1")))
    elif name.lower().removesuffix("[]") in _PICTURES or content[:5].lower() == b"data:":
        return decoded(content.decode("latin-1"), which) if content.strip() else None
    elif name == "parameters":
        parameters += _object(content, which).items()
    elif name.lower() not in _NO_MEANING:
        # refused by its name
        parameters.append((name, content[:_MAX_PARAMETER].decode("latin-1")))
    return None


def _is_picture_type(content_type: str) -> bool:
    return content_type.startswith("image/") or content_type in (
        "application/octet-stream",
        "binary/octet-stream",
        "application/x-image",
    )


def _transferred(part: _Part, which: str) -> bytes:
    """Return the content without its transfer encoding."""
    encoding = part.headers.get("content-transfer-encoding", "").strip().lower()
    if encoding in ("", "7bit", "8bit", "binary"):
        return part.content
    if encoding == "base64":
        try:
            return base64.b64decode(part.content)
        except (binascii.Error, ValueError) as error:
            raise RequestError(400, f"{which} is not base64 ({error})", _HINT) from None
    if encoding == "quoted-printable":
        return quopri.decodestring(part.content)
    raise RequestError(
        400,
        f"{which} has Content-Transfer-Encoding {encoding[:50]!r}, which is not supported",
        "send the bytes of the file as they are",
    )


def _object(content: bytes, which: str) -> dict[str, object]:
    try:
        given: object = json.loads(content, object_pairs_hook=once)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise RequestError(
            400, f"{which}, parameters, is not a JSON object", 'parameters={"top_k": 5}'
        )
    return given

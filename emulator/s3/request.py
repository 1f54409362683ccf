"""A request to S3, and S3's errors."""

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from werkzeug.datastructures import EnvironHeaders

from emulator.store.objects import Location

# S3's rules for bucket names; moto's are wider.
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MAX_KEY_BYTES = 1024
# Of presigned addresses and of some SDKs: they change no answer.
_SIGNATURE = re.compile(
    "x-id|awsaccesskeyid|signature|expires|x-amz-(algorithm|credential|date|expires|signedheaders|"
    "signature|security-token|content-sha256|user-agent|checksum-.+|sdk-checksum-algorithm)"
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLAIN_HEADERS = ("content-type", "content-md5")  # that presigned addresses have, too


class Problem(Exception):
    """An error answer of S3.

    Args:
        status: the HTTP status.
        code: S3's name of the error.
        message: S3's text.
        fields: other members of the error, such as Condition.
    """

    def __init__(self, status: int, code: str, message: str, **fields: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, fields


@dataclass(frozen=True)
class Answer:
    """A status, headers and a body, as XML or in pieces of a file."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes] = ()


@dataclass(frozen=True)
class Request:
    """A request that moto did not see yet.

    `query` has no parameters of signatures. `place` has an empty key for a whole bucket.
    """

    environ: dict[str, Any]
    method: str
    place: Location
    query: Mapping[str, str]
    headers: EnvironHeaders

    @classmethod
    def parse(cls, environ: dict[str, Any]) -> "Request":
        """Read a request, as moto reads it: names come from the encoded path.

        Raises:
            Problem: a name that S3 does not allow, or a presigned address without its headers.
        """
        _unpack_presigned(environ)
        path, _, query = environ["RAW_URI"].partition("?")
        bucket, _, key = path.removeprefix("/").partition("/")
        if not bucket and key:
            bucket = "/"  # moto would look for the bucket after the slashes
        key = urllib.parse.unquote(key)
        if bucket and not _BUCKET.fullmatch(bucket):
            raise Problem(400, "InvalidBucketName", "The specified bucket is not valid.")
        if len(key.encode(errors="surrogatepass")) > _MAX_KEY_BYTES:
            raise Problem(400, "KeyTooLongError", "Your key is too long")
        pairs = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        return cls(
            environ,
            environ["REQUEST_METHOD"],
            Location(bucket, key),
            {name: pairs[name] for name in pairs if not _SIGNATURE.fullmatch(name.lower())},
            EnvironHeaders(environ),
        )

    def read_body(self, most: int) -> bytes:
        """Return a small body; moto can read it again.

        Raises:
            Problem: it is larger than `most` bytes, or incomplete.
        """
        size = int(self.environ.get("CONTENT_LENGTH") or 0)
        if size > most or self.environ.get("wsgi.input_terminated"):
            raise Problem(400, "MalformedXML", f"The body must be XML of at most {most} bytes.")
        body: bytes = self.environ["wsgi.input"].read(size)
        if len(body) < size:
            raise Problem(400, "IncompleteBody", "The request body terminated unexpectedly")
        self.environ["wsgi.input"] = BytesIO(body)
        return body

    def header(self, name: str) -> str:
        """Return a header, or an empty string."""
        value: str = self.headers.get(name, "")
        return value


def _unpack_presigned(environ: dict[str, Any]) -> None:
    """Make headers of a presigned address's parameters, where S3 reads them so.

    Raises:
        Problem: a header that the address signs is not there.
    """
    path, _, query = environ["RAW_URI"].partition("?")
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    if "HTTP_AUTHORIZATION" in environ or not given.keys() & {"Signature", "X-Amz-Signature"}:
        return
    for name in given.get("X-Amz-SignedHeaders", "").lower().split(";"):
        if name and _variable(name) not in environ and name != "host":
            raise Problem(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided: "
                f"the address was signed for a request with the header {name}",
            )
    kept = []
    for name, value in pairs:
        lower = name.lower()
        if lower in _PLAIN_HEADERS or (
            lower.startswith("x-amz-") and not _SIGNATURE.fullmatch(lower)
        ):
            if _CONTROL.search(value):
                raise Problem(400, "InvalidArgument", f"{name} must not have control characters")
            environ.setdefault(_variable(lower), value.encode().decode("latin-1"))
        elif name != "Expires":  # moto would take it for the object's header
            kept.append((name, value))
    environ["QUERY_STRING"] = urllib.parse.urlencode(kept, quote_via=urllib.parse.quote)
    environ["RAW_URI"] = f"{path}?{environ['QUERY_STRING']}"


def _variable(header: str) -> str:
    """Return the name that WSGI has for a header."""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


def read_xml(body: bytes) -> ElementTree.Element:
    """Parse a document without definitions of its own.

    Raises:
        Problem: it is not well-formed.
    """
    problem = Problem(
        400, "MalformedXML", "The XML you provided was not well-formed or did not validate."
    )
    if b"<!" in body:
        raise problem
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - it defines no entities
    except ElementTree.ParseError:
        raise problem from None


def xml_answer(text: str, status: int = 200) -> Answer:
    """Return an XML document as an answer."""
    declaration = b'<?xml version="1.0" encoding="utf-8"?>\n'
    body = declaration + text.encode(errors="xmlcharrefreplace")
    headers = {"Content-Type": "application/xml", "Content-Length": str(len(body))}
    return Answer(status, headers, [body])


def failure(problem: Problem, method: str) -> Answer:
    """Return the answer for an error; HEAD has no body."""
    fields = {"Code": problem.code, "Message": problem.message, **problem.fields}
    inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    if method == "HEAD":
        return Answer(problem.status, {"Content-Type": "application/xml", "Content-Length": "0"})
    document = f"<Error>{inside}<RequestId>emulator</RequestId></Error>"
    return xml_answer(document, problem.status)


def status_line(status: int) -> str:
    """Return a status as WSGI has it, such as `200 OK`."""
    return f"{status} {HTTPStatus(status).phrase}"

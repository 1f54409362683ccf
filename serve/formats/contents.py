"""The content types of a request, and how each becomes pictures.

The bytes decide, not the label: a type that names a format of ours (JSON, npy, a form) selects its
reader, and every other type, a picture's too, is read by what the bytes are.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pictures.decoder import ImageError, OversizeImage, UnreadableImage, UnsupportedImage
from pictures.decoding.foreign import format_of, named
from serve.errors import RequestError
from serve.formats import arrays, magic
from serve.formats.arrays import from_npy
from serve.formats.envelopes import Content, check_count
from serve.formats.forms import from_form
from serve.formats.lines import from_lines
from serve.formats.objects import from_json

# The type of a request without a Content-Type.
UNDECLARED = "application/x-image"
# What `curl --data-binary` declares, and `curl -d`, which removes line ends and zeros.
_URLENCODED = "application/x-www-form-urlencoded"
_AS_FORM = "send it as multipart/form-data with its boundary, as the client writes it"
# What an HTML form without an enctype sends, and `curl -d image=…`.
_FIELDS = re.compile(rb"[\w.%\[\]-]{1,100}=(?!=?\s*\Z)")
_LONG_ENOUGH = 4096  # bytes, to be sure that a picture has all byte values


@dataclass(frozen=True)
class Declared:
    """What a reader knows of a body: the whole Content-Type, and how many pictures are allowed."""

    header: str
    max_pictures: int


Reader = Callable[[bytes, Declared], Content]


def _by_bytes(body: bytes, declared: Declared) -> Content:
    """Read a body whose type says nothing."""
    if body.startswith(arrays.MAGIC):
        return from_npy(body, declared.max_pictures)
    if magic.is_json(body):
        return from_json(body, declared.max_pictures)
    if magic.is_form(body):
        raise RequestError(
            415,
            f"these bytes are a form, but their Content-Type is {declared.header[:100]!r}",
            _AS_FORM,
        )
    return Content((body,))


def _json(body: bytes, declared: Declared) -> Content:
    return from_json(body, declared.max_pictures)


def _lines(body: bytes, declared: Declared) -> Content:
    return from_lines(body, declared.max_pictures)


def _form(body: bytes, declared: Declared) -> Content:
    return from_form(body, declared.header, declared.max_pictures)


def _npy(body: bytes, declared: Declared) -> Content:
    return from_npy(body, declared.max_pictures)


READERS: dict[str, Reader] = {
    "image/jpeg": _by_bytes,
    "image/jpg": _by_bytes,  # not a registered type, but many clients send it
    "image/pjpeg": _by_bytes,  # Internet Explorer's, still in old clients
    "image/png": _by_bytes,
    "image/webp": _by_bytes,
    "image/bmp": _by_bytes,
    "image/tiff": _by_bytes,
    "image/gif": _by_bytes,
    "application/x-image": _by_bytes,
    "application/octet-stream": _by_bytes,
    "binary/octet-stream": _by_bytes,  # S3's default
    "file-path/raw-bytes": _by_bytes,  # DataSerializer of the SageMaker SDK
    "application/json": _json,
    "application/jsonlines": _lines,
    "application/x-jsonlines": _lines,
    "application/jsonl": _lines,
    "application/x-ndjson": _lines,
    "application/ndjson": _lines,
    "multipart/form-data": _form,
    "application/x-npy": _npy,
}
# Types of other data, and what to send instead. A picture under one of them is a mistake.
_REFUSED = {
    "text/csv": "rows of numbers are not pictures",
    "text/libsvm": "rows of numbers are not pictures",
    "text/x-libsvm": "rows of numbers are not pictures",
    "application/x-npz": "sparse matrices and archives of arrays are not pictures",
    "application/x-recordio-protobuf": "RecordIO is not read",
    "application/x-recordio": "RecordIO is not read",
    "application/x-parquet": "tables are not pictures",
    "tensor/pt": "nothing is unpickled",
}


def media_type(content_type: str | None) -> str:
    """Return the type of a Content-Type header without its parameters, in lower case."""
    return (content_type or UNDECLARED).partition(";")[0].strip().lower()


def is_lines(content_type: str | None) -> bool:
    """Return whether a request has one picture on each line, so that its answer has lines too."""
    return READERS.get(media_type(content_type)) is _lines


def read(content_type: str | None, body: bytes, *, max_pictures: int) -> Content:
    """Return the pictures in a request, not decoded yet.

    Args:
        content_type: the header as sent, or None.
        body: the request's bytes, without a Content-Encoding.
        max_pictures: in one request.

    Raises:
        RequestError: 415 a type or bytes that are not supported, 400 a body that does not match its
            type or has no picture, 422 too many pictures.
    """
    kind = media_type(content_type)
    declared = Declared(content_type or UNDECLARED, max_pictures)
    if kind in _REFUSED or (kind.startswith("multipart/") and kind not in READERS):
        reason = _REFUSED.get(kind, "only multipart/form-data is read")
        raise _by_its_name(
            RequestError(
                415, f"content type {kind[:100]!r} is not supported: {reason}", _send_one_of()
            ),
            kind,
            body,
        )
    try:
        content = READERS[kind](body, declared) if kind in READERS else _unknown(body, declared)
    except RequestError as error:
        raise _by_its_name(error, kind, body) if kind in READERS else error from None
    if not (content.pictures or content.line_errors):
        raise RequestError(400, "there is no picture in the request", _send_one_of())
    check_count(len(content.pictures), max_pictures)
    return content


def _unknown(body: bytes, declared: Declared) -> Content:
    """Read a body of a type that we do not know, if its bytes are one of our formats."""
    kind = media_type(declared.header)
    if kind == _URLENCODED and _lost_bytes(body):
        raise RequestError(
            400,
            "the picture has lost its zeros and line ends, as with curl -d",
            "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'",
        )
    is_fields = kind == _URLENCODED and _FIELDS.match(body[:500])
    if is_fields and not magic.picture_format(body):  # a GIF 61 pixels wide begins with GIF89a=
        raise RequestError(
            415,
            f"content type {kind!r} is not supported: fields in URL encoding are not read",
            'send JSON, or a form: <form enctype="multipart/form-data">, curl -F file=@photo.jpg',
        )
    content = _by_bytes(body, declared)
    if content.pictures and content.pictures[0] is body:
        try:
            format_of(body)
        except UnreadableImage as error:
            raise RequestError(
                415, f"content type {kind[:100]!r} is not supported, and {error}", _send_one_of()
            ) from None
        except ImageError:
            pass  # a picture that is refused by its name when it is decoded
    return content


def _lost_bytes(body: bytes) -> bool:
    is_picture = body[:3] == b"\xff\xd8\xff" or body[1:4] == b"PNG"
    return is_picture and len(body) > _LONG_ENOUGH and not any(map(body.count, (b"\n", b"\r")))


def _by_its_name(error: RequestError, kind: str, body: bytes) -> RequestError:
    """Return a better error for bytes that are something else than their type says."""
    reader = READERS.get(kind)
    if reader is _by_bytes or body.startswith(b"PK"):
        return error
    code = 400 if error.code == 422 else error.code  # 422: what was counted are no pictures
    shown = f"the content type is {kind[:100]}, but the bytes are"
    if name := magic.picture_format(body):
        return RequestError(code, f"{shown} a {name} picture", f"send it as image/{name.lower()}")
    if magic.is_gzip(body):
        return RequestError(
            code,
            f"{shown} compressed with gzip",
            "unpack them, or add the header Content-Encoding: gzip",
        )
    if body.startswith(arrays.MAGIC):
        if reader is _npy:
            return error
        return RequestError(code, f"{shown} a numpy array", "send it as application/x-npy")
    if magic.is_form(body):
        if reader is _form:
            return error
        return RequestError(code, f"{shown} a form", _AS_FORM)
    if reader in (_json, _lines) and body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return error  # JSON in UTF-16
    if magic.is_json(body):
        # A quote can begin a row of CSV.
        if reader in (_json, _lines) or body[:2500].lstrip().startswith(b'"'):
            return error
        return RequestError(code, f"{shown} JSON", "send it as application/json")
    if body and (known := named(body)):
        code = 415 if isinstance(known, UnsupportedImage) else code
        return RequestError(code, f"the content type is {kind[:100]}, and {known}", error.hint)
    return error


def picture_error(error: ImageError, position: str = "") -> RequestError:
    """Return the error of a request whose picture cannot be used.

    Args:
        error: from the decoder.
        position: of the picture, as in `Content.positions`.
    """
    if isinstance(error, OversizeImage):
        # Never 413: nginx checks the size of the body.
        hint = "make the picture smaller before it is sent, or raise KENNEL_MAX_PIXELS"
        return RequestError(422, f"{position}{error}", hint)
    code = 415 if isinstance(error, UnsupportedImage) else 400
    return RequestError(code, f"{position}{error}", _send_one_of())


def _send_one_of() -> str:
    return f"send one of: {', '.join(READERS)}"

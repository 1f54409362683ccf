"""S3: moto answers, and what a request changed is stored on disk before the client hears of it."""

import re
import urllib.parse
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from werkzeug.wrappers import Response

from emulator.api.door import error_xml
from emulator.store.objects import Objects

# S3's rules for bucket names; moto's are wider.
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MAX_KEY_BYTES = 1024
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class S3:
    """The requests to S3.

    Args:
        objects: stores what moto changed.
        moto: answers.
    """

    def __init__(self, objects: Objects, moto: Application) -> None:
        self._objects, self._moto = objects, moto

    def answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Answer one request; names that S3 does not allow are refused."""
        bucket, key = _names(environ)
        if bucket and not _BUCKET.fullmatch(bucket):
            return _error("InvalidBucketName", "The specified bucket is not valid.")(environ, start)
        if len(key.encode()) > _MAX_KEY_BYTES:
            return _error("KeyTooLongError", "Your key is too long")(environ, start)
        # moto takes the key from the encoded path; its routes would not match a newline.
        environ["PATH_INFO"] = environ["PATH_INFO"].replace("\n", " ")
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            with self._objects.lock:  # readers see the old object or the new one
                return self._moto(environ, start)
        statuses: list[str] = []

        def record_status(status: str, headers: Any, *more: Any) -> Any:
            statuses.append(status)
            return start(status, headers, *more)

        answer = self._moto(environ, record_status)
        if bucket and statuses and statuses[0].startswith("2"):
            self._objects.save(bucket, key)  # before answering: after a 200 it is on disk
        return answer


def _names(environ: dict[str, Any]) -> tuple[str, str]:
    """Return the bucket and the key of a request, as moto reads them from the encoded path."""
    path = environ["RAW_URI"].partition("?")[0].removeprefix("/")
    bucket, _, key = path.partition("/")
    if not bucket and key:
        bucket = "/"  # moto would look for the bucket after the slashes
    return bucket, urllib.parse.unquote(key)


def _error(code: str, message: str) -> Response:
    return Response(
        error_xml(code, message, "s3"), HTTPStatus.BAD_REQUEST, content_type="application/xml"
    )

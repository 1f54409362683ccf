"""Which part of S3 answers a request: files for plain objects, moto for everything else."""

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

from emulator.errors import JobError
from emulator.s3 import (
    bodies,
    deleting,
    encoding,
    listing,
    offered,
    part_lists,
    parts,
    policies,
    reading,
    refused,
    uploads,
    writing,
)
from emulator.s3.request import Answer, Problem, Request, failure, read_xml, status_line
from emulator.settings import ACCOUNT
from emulator.store.objects import Location, Objects

log = logging.getLogger("kennel.emulator")
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
# Headers that change nothing here, or that `writing` obeys; those of other features are moto's.
_PLAIN = re.compile(
    "x-amz-(content-sha256|date|security-token|user-agent|meta-|checksum-|sdk-checksum-algorithm|"
    "storage-class|decoded-content-length|trailer|expected-bucket-owner|request-payer|"
    "metadata-directive)"
)
_MAX_DELETE_XML = 4 * 2**20  # of 1,000 keys
_FORM = "application/x-www-form-urlencoded"


class S3:
    """The requests to S3.

    Args:
        objects: the objects, in files.
        moto: answers what this class does not.
    """

    def __init__(self, objects: Objects, moto: Application) -> None:
        self._objects, self._moto = objects, moto

    def answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Answer one request; names that S3 does not allow are refused."""
        method = environ["REQUEST_METHOD"]
        try:
            request = Request.parse(environ)
            offered.check(request)
            answer = self._answer(request)
            if answer is None:
                return self._let_moto_answer(request, start)
        except Problem as problem:
            answer = failure(problem, method)
        except JobError:  # the bucket was deleted in the meantime
            missing = Problem(404, "NoSuchBucket", "The specified bucket does not exist")
            answer = failure(missing, method)
        except OSError as error:  # such as a full disk
            log.exception("S3: %s %s", method, environ["PATH_INFO"])
            answer = failure(Problem(500, "InternalError", f"The emulator failed: {error}"), method)
        start(status_line(answer.status), list(answer.headers.items()))
        return answer.body

    def _answer(self, request: Request) -> Answer | None:
        """Answer requests for plain objects; None is for moto.

        Raises:
            Problem: S3's error.
        """
        bucket = self._objects.backend.buckets.get(request.place.bucket)
        if bucket is None:
            refused.check_bucket(request)
            return None
        for owner in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
            if request.header(owner) not in ("", ACCOUNT):
                raise Problem(403, "AccessDenied", "Access Denied")
        query = set(request.query)
        if request.query.get("versionId") == "null" and _is_plain(bucket):
            query -= {"versionId"}  # the only version
        if not request.place.key:
            if request.method == "PUT" and query == {"versioning"}:
                offered.check_versioning(bucket, request)
            if query in policies.PARAMETERS:
                return policies.answer(bucket, request)
            if request.method == "GET" and query <= listing.PARAMETERS:
                return listing.answer(bucket, request)
            if request.method == "GET" and "uploads" in query and query <= uploads.PARAMETERS:
                return uploads.answer(bucket, request)
            if request.method == "POST" and query == {"delete"} and _is_plain(bucket):
                return deleting.several(self._objects, request)
            return None
        refused.check_tags(request)
        if request.method == "GET" and "uploadId" in query:
            return part_lists.of_upload(self._objects, request)
        if request.method == "GET" and "attributes" in query:
            return part_lists.attributes(self._objects, request)
        headers = {name.lower() for name in request.headers.keys()}  # noqa: SIM118 - not a dict
        copies = {name for name in headers if name.startswith(writing.COPY_SOURCE)}
        if request.method == "PUT" and query == {"partNumber", "uploadId"}:
            if not copies:
                return parts.put(self._objects, request)
            if not _has_version(request):
                return parts.copy(self._objects, request)
        if request.method == "POST" and query == {"uploads"}:
            parts.check_checksum(request)
        if request.method == "POST" and query == {"uploadId"}:
            return parts.again(self._objects, request)
        reads = request.method in ("GET", "HEAD")
        if not _is_plain(bucket):
            if reads and reading.PART in query:
                raise offered.not_emulated("partNumber in a bucket with versions or settings")
            return None
        if reads and query <= {*reading.OVERRIDES, reading.PART}:
            return reading.answer(self._objects, request)
        if request.method == "DELETE" and not query:
            return deleting.one(self._objects, request)
        if request.method == "DELETE" and query == {"versionId"}:
            # moto would delete the object, which has no versions.
            raise Problem(
                400, "InvalidArgument", "Invalid version id specified", ArgumentName="versionId"
            )
        special = {name for name in headers if name.startswith("x-amz-")} - copies
        if request.header("x-amz-tagging-directive").upper() == "COPY":
            special -= {"x-amz-tagging-directive"}
        if request.method == "PUT" and not query and all(map(_PLAIN.match, special)):
            if not copies:
                return writing.put(self._objects, request)
            if not _has_version(request):
                return writing.copy(self._objects, request)
        return None

    def _let_moto_answer(self, request: Request, start: Any) -> Iterable[bytes]:
        """Let moto answer, and write what changed to disk before the client gets the answer.

        Raises:
            Problem: S3's error.
        """
        environ, place = request.environ, request.place
        # moto takes the key from the encoded path; its routes would not match a newline.
        environ["PATH_INFO"] = environ["PATH_INFO"].replace("\n", " ")
        if source := request.header(writing.COPY_SOURCE):  # see `writing.copy_source`
            environ["HTTP_X_AMZ_COPY_SOURCE"] = source.replace("+", "%20")
        statuses: list[str] = []

        bucket = self._objects.backend.buckets.get(place.bucket)
        has_versions = bucket is not None and bucket.versioning_status

        def record_status(status: str, headers: Any, *more: Any) -> Any:
            statuses.append(status)
            if not has_versions:
                headers = [one for one in headers if one[0].lower() != "x-amz-version-id"]
            return start(status, headers, *more)

        def ask_moto() -> tuple[Iterable[bytes], bool]:
            moto = encoding.encoding(self._moto) if encoding.is_wanted(request) else self._moto
            answer = moto(environ, record_status)
            return answer, bool(statuses) and statuses[0].startswith("2")

        if request.method == "POST" and set(request.query) == {"uploadId"} and bucket is not None:
            with parts.completed(self._objects, request) as outcome:
                answer, outcome["succeeded"] = ask_moto()
            return answer
        if not place.key:
            deleted = _deleted_keys(request)
            answer, succeeded = ask_moto()
            if succeeded and place.bucket and request.method not in ("GET", "HEAD"):
                self._objects.save_bucket(place.bucket)
                for key in deleted:
                    self._objects.save(Location(place.bucket, key))
            return answer
        kind = environ.get("CONTENT_TYPE", "")
        is_form = request.method == "PUT" and kind.partition(";")[0].strip().lower() == _FORM
        if is_form:  # moto would take the body for parameters, and store nothing
            environ["CONTENT_TYPE"] = "binary/octet-stream"
        stores = request.method == "PUT" and not request.query and not source and bucket is not None
        received = bodies.for_moto(request) if stores else None
        with self._objects.lock(place):  # no file is deleted while moto reads it
            if source and request.method == "PUT":
                writing.check_source_of_moto(self._objects, request)
            if request.method == "PUT" and not request.query and bucket is not None:
                writing.check_replaced(self._objects.key(place), request)
            answer, succeeded = ask_moto()
            if succeeded and request.method not in ("GET", "HEAD") and bucket is not None:
                uploads.note_time(bucket)
                moto_key = self._objects.key(place)
                if is_form and moto_key and not request.query:
                    moto_key.metadata["Content-Type"] = kind
                if received and received.algorithm and moto_key:
                    moto_key.checksum_type = bodies.WHOLE
                self._objects.save(place)
        return answer


def _is_plain(bucket: Any) -> bool:
    """Whether no setting of a bucket changes how its objects are read and written."""
    return not (
        bucket.is_versioned
        or bucket.encryption
        or bucket.object_lock_enabled
        or bucket.notification_configuration
    )


def _has_version(request: Request) -> bool:
    return "versionId=" in request.header(writing.COPY_SOURCE).rpartition("?")[2]


def _deleted_keys(request: Request) -> list[str]:
    """Return the keys in a DeleteObjects request; its body can be read again."""
    if request.method != "POST" or "delete" not in request.query:
        return []
    root = read_xml(request.read_body(_MAX_DELETE_XML))
    return [key.text or "" for key in root.iterfind("{*}Object/{*}Key")]

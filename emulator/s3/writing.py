"""PUT of an object: its body goes to a file; a copy is a second name of a file."""

import contextlib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from moto.s3.models import FakeKey
from moto.s3.utils import STORAGE_CLASS, metadata_from_headers
from werkzeug.datastructures import EnvironHeaders

from emulator.s3 import bodies, reading
from emulator.s3.request import Answer, Problem, Request, xml_answer
from emulator.store.blobs import link, md5, open_blob
from emulator.store.objects import Location, Objects, Tags
from emulator.store.paths import open_private

COPY_SOURCE = "x-amz-copy-source"
_META = "x-amz-meta-"
_CHUNK = 2**18
_MAX_METADATA = 2048
_KEY_PROBLEM = "The specified key does not exist."


def put(objects: Objects, request: Request) -> Answer:
    """Store an object.

    Raises:
        Problem: the body is damaged, or a condition does not hold.
    """
    _check_metadata(request)
    with new_file(objects, request.place) as blob:
        with open_private(blob, "xb") as file:
            received = bodies.receive(request, file)
        moto_key = objects.new_key(request.place, received.md5, _storage(request))
        _describe(moto_key, request)
        if received.algorithm:
            _set_checksum(moto_key, received.algorithm, received.checksum)
        _replace(objects, request, blob, moto_key)
    answer = stored(moto_key.etag, received)
    whole = {"x-amz-checksum-type": bodies.WHOLE} if received.checksum else {}
    return Answer(answer.status, {**answer.headers, **whole})


def stored(etag: str, received: bodies.Received) -> Answer:
    """Return the answer to a body that was stored."""
    headers = {"ETag": etag, "Content-Length": "0"}
    if received.checksum:
        headers[f"{bodies.CHECKSUM}{received.algorithm.lower()}"] = received.checksum
    return Answer(200, headers)


def copy(objects: Objects, request: Request) -> Answer:
    """Copy an object. The copy has the source's tags, and its metadata or the request's.

    Raises:
        Problem: there is no source, or it is the object itself and nothing would change.
    """
    _check_metadata(request)
    source = copy_source(request)
    replaces = request.header("x-amz-metadata-directive").upper() == "REPLACE"
    with new_file(objects, request.place) as blob:
        original = _link(objects, source, blob)
        check_source(request, original)
        if source == request.place and not replaces and not request.header("x-amz-storage-class"):
            raise Problem(
                400,
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself "
                "without changing the object's metadata, storage class, website redirect location "
                "or encryption attributes.",
            )
        # The ETag of an object that was sent in parts is that of the parts.
        etag = md5(blob) if "-" in original.etag else original.etag.strip('"')
        moto_key = objects.new_key(request.place, etag, _storage(request))
        if replaces:
            _describe(moto_key, request)
        else:
            moto_key.set_metadata(dict(original.metadata))
        asked = request.header("x-amz-checksum-algorithm").upper()
        if asked:
            bodies.check_algorithm(asked)
        algorithm = asked or original.checksum_algorithm or ""
        if algorithm in bodies.ALGORITHMS:
            if (algorithm, bodies.WHOLE) == (original.checksum_algorithm, original.checksum_type):
                value = original.checksum_value or ""
            else:
                value = _checksum(blob, algorithm)
            _set_checksum(moto_key, algorithm, value)
        _replace(objects, request, blob, moto_key, objects.tags(original))
    body = (
        '<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<ETag>{moto_key.etag}</ETag>"
        f"<LastModified>{moto_key.last_modified_ISO8601}</LastModified>"
        f"{checksum_xml(moto_key)}</CopyObjectResult>"
    )
    return xml_answer(body)


def copy_source(request: Request) -> Location:
    """Return the object that a request copies.

    Raises:
        Problem: the header names none.
    """
    # S3 reads a plus sign as a space here: some clients encode spaces so, and a plus as %2B.
    name = urllib.parse.unquote_plus(request.header(COPY_SOURCE)).removeprefix("/")
    bucket, slash, key = name.partition("/")
    if not slash or not key:
        raise Problem(400, "InvalidArgument", "Copy Source must mention the source bucket and key")
    return Location(bucket, key)


def check_source(request: Request, moto_key: FakeKey) -> None:
    """Check the conditions that a request has for the object that it copies.

    Raises:
        Problem: one does not hold.
    """
    names = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
    conditions = {
        f"HTTP_{name.upper().replace('-', '_')}": request.header(f"{COPY_SOURCE}-{name}")
        for name in names
    }
    asked = Request({**conditions}, request.method, request.place, {}, EnvironHeaders(conditions))
    if not reading.is_wanted(moto_key, asked):
        raise reading.failed(f"{COPY_SOURCE}-If-None-Match")


def check_source_of_moto(objects: Objects, request: Request) -> None:
    """Check the conditions for an object, or a version of it, that moto copies without them.

    Raises:
        Problem: one does not hold.
    """
    place = copy_source(request)
    key, _, version = place.key.partition("?versionId=")
    if place.bucket in objects.backend.buckets:
        found = objects.backend.get_object(place.bucket, key, version_id=version or None)
        if found is not None:
            check_source(request, found)


def check_replaced(old: FakeKey | None, request: Request) -> None:
    """Check the conditions that a request has for the object that it replaces.

    Raises:
        Problem: one does not hold.
    """
    if (etag := request.header("If-Match")) and not old:
        raise no_such_key(request.place.key)
    if old and etag and not reading.matches(old, etag):
        raise reading.failed("If-Match")
    if request.header("If-None-Match") not in ("", "*"):
        raise Problem(
            501, "NotImplemented", "A header you provided implies functionality that is not "
            "implemented", Header="If-None-Match",
        )  # fmt: skip
    if old and request.header("If-None-Match") == "*":
        raise reading.failed("If-None-Match")


def no_such_key(key: str) -> Problem:
    """Return the error for an object that is not there."""
    return Problem(404, "NoSuchKey", _KEY_PROBLEM, Key=key)


def missing(objects: Objects, source: Location) -> Problem:
    """Return the error for the source of a copy that is not there."""
    if source.bucket in objects.backend.buckets:
        return no_such_key(source.key)
    message = "The specified bucket does not exist"
    return Problem(404, "NoSuchBucket", message, BucketName=source.bucket)


@contextlib.contextmanager
def new_file(objects: Objects, place: Location) -> Iterator[Path]:
    """Yield the path of a new file; if the block fails, the file is deleted.

    Raises:
        Problem: the bucket was deleted in the meantime.
    """
    blob = objects.new_file(place)
    try:
        yield blob
    except BaseException as error:
        blob.unlink(missing_ok=True)
        if isinstance(error, FileNotFoundError) and not blob.parent.exists():
            raise Problem(404, "NoSuchBucket", "The specified bucket does not exist") from None
        raise


def _link(objects: Objects, source: Location, blob: Path) -> FakeKey:
    """Give a source's file a second name, and return moto's key of the source.

    Raises:
        Problem: there is no such object.
    """
    while (found := objects.open(source)) is not None:
        moto_key, file = found
        file.close()
        with contextlib.suppress(FileNotFoundError):  # it was replaced just now
            link(Path(file.name), blob)
            return moto_key
    raise missing(objects, source)


def _replace(
    objects: Objects, request: Request, blob: Path, moto_key: FakeKey, tags: Tags = ()
) -> None:
    """Make a file the object, if the request's conditions hold.

    Raises:
        Problem: they do not.
    """
    with objects.lock(request.place):
        check_replaced(objects.key(request.place), request)
        objects.put(request.place, blob, moto_key, tags)


def _check_metadata(request: Request) -> None:
    """Refuse more metadata than S3 takes.

    Raises:
        Problem: its names and values have more than 2 KiB.
    """
    found = [
        (name[len(_META) :], value)
        for name, value in request.headers.items()
        if name.lower().startswith(_META)
    ]
    size = sum(len(f"{name}{value}".encode()) for name, value in found)
    if size > _MAX_METADATA:
        raise Problem(
            400,
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
            Size=str(size),
            MaxSizeAllowed=str(_MAX_METADATA),
        )


def checksum_xml(moto_key: FakeKey) -> str:
    """Return the members of a result with the checksum of a whole object, if it has one."""
    if not moto_key.checksum_algorithm or not moto_key.checksum_value:
        return ""
    name = f"Checksum{moto_key.checksum_algorithm}"
    kind = f"<ChecksumType>{moto_key.checksum_type}</ChecksumType>"
    return f"<{name}>{moto_key.checksum_value}</{name}>{kind}"


def _set_checksum(moto_key: FakeKey, algorithm: str, value: str) -> None:
    moto_key.checksum_algorithm, moto_key.checksum_value = algorithm, value
    moto_key.checksum_type = bodies.WHOLE


def _checksum(blob: Path, algorithm: str) -> str:
    digest = bodies.ALGORITHMS[algorithm]()
    with open_blob(blob) as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return bodies.base64_of(digest)


def _describe(moto_key: FakeKey, request: Request) -> None:
    moto_key.set_metadata(metadata_from_headers(dict(request.headers.items())))


def _storage(request: Request) -> str:
    found = request.header("x-amz-storage-class") or "STANDARD"
    if found not in STORAGE_CLASS:
        raise Problem(400, "InvalidStorageClass", "The storage class you specified is not valid")
    return found

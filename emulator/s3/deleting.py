"""DeleteObject and DeleteObjects, in buckets without versions."""

from xml.sax.saxutils import escape

from emulator.s3 import reading
from emulator.s3.request import Answer, Problem, Request, read_xml, xml_answer
from emulator.store.objects import Location, Objects

_MAX_XML = 4 * 2**20  # of 1,000 keys
_MOST = 1000
_BLANK = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


def one(objects: Objects, request: Request) -> Answer:
    """Delete an object; it does not have to exist, unless there is a condition.

    Raises:
        Problem: the condition does not hold.
    """
    if not _delete(objects, request.place, request.header("If-Match")):
        raise reading.failed("If-Match")
    return Answer(204, {})


def several(objects: Objects, request: Request) -> Answer:
    """Delete the objects that the body names.

    Raises:
        Problem: the body is not what S3 expects.
    """
    root = read_xml(request.read_body(_MAX_XML))
    named = [
        [found.findtext(f"{{*}}{member}") or "" for member in ("Key", "ETag", "VersionId")]
        for found in root.iterfind("{*}Object")
    ]
    if not 0 < len(named) <= _MOST or not all(key for key, *_ in named):
        raise Problem(
            400, "MalformedXML", f"The XML must name 1 to {_MOST} objects, each with its key"
        )
    quiet = (root.findtext("{*}Quiet") or "").strip().lower() == "true"
    inside = ""
    for key, etag, version in named:
        name = f"<Key>{escape(key, _BLANK)}</Key>"
        failed = None
        if version not in ("", "null"):
            failed = Problem(404, "NoSuchVersion", "The specified version does not exist.")
        elif not _delete(objects, Location(request.place.bucket, key), etag):
            failed = reading.failed("If-Match")
        if failed:
            code = f"<Code>{failed.code}</Code><Message>{failed.message}</Message>"
            inside += f"<Error>{name}{code}</Error>"
        elif not quiet:
            inside += f"<Deleted>{name}</Deleted>"
    start = '<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    return xml_answer(f"{start}{inside}</DeleteResult>")


def _delete(objects: Objects, place: Location, etag: str) -> bool:
    """Delete an object if its ETag is the given one, if any; return whether it was."""
    with objects.lock(place):
        found = objects.key(place) if etag else None
        if etag and (found is None or (etag != "*" and not reading.matches(found, etag))):
            return False
        objects.delete(place)
    return True

"""DeleteObject and DeleteObjects, in buckets without versions."""

from xml.sax.saxutils import escape

from emulator.s3.request import Answer, Problem, Request, read_xml, xml_answer
from emulator.store.objects import Location, Objects

_MAX_XML = 4 * 2**20  # of 1,000 keys
_MOST = 1000
_BLANK = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


def one(objects: Objects, request: Request) -> Answer:
    """Delete an object; it does not have to exist."""
    objects.delete(request.place)
    return Answer(204, {})


def several(objects: Objects, request: Request) -> Answer:
    """Delete the objects that the body names.

    Raises:
        Problem: the body is not what S3 expects.
    """
    root = read_xml(request.read_body(_MAX_XML))
    keys = [key.text or "" for key in root.iterfind("{*}Object/{*}Key")]
    if not 0 < len(keys) <= _MOST or not all(keys):
        raise Problem(
            400, "MalformedXML", f"The XML must name 1 to {_MOST} objects, each with its key"
        )
    for key in keys:
        objects.delete(Location(request.place.bucket, key))
    quiet = (root.findtext("{*}Quiet") or "").strip().lower() == "true"
    names = [] if quiet else [escape(key, _BLANK) for key in keys]
    inside = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
    start = '<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    return xml_answer(f"{start}{inside}</DeleteResult>")

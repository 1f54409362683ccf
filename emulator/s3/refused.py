"""What moto accepts and S3 refuses: reserved names of buckets, and one tag of an object twice."""

import re
import urllib.parse
from collections.abc import Sequence

from emulator.s3.request import Problem, Request, read_xml

# Source: the S3 user guide, "General purpose bucket naming rules".
_RESERVED = re.compile(
    r"\d+\.\d+\.\d+\.\d+|(xn--|sthree-|amzn-s3-demo-).*|"
    r".*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)"
)
_HEADER = "x-amz-tagging"
_MAX_XML = 2**16  # of ten tags


def check_bucket(request: Request) -> None:
    """Refuse to create a bucket with a reserved name.

    Raises:
        Problem: InvalidBucketName.
    """
    creates = request.method == "PUT" and not request.place.key and not request.query
    if creates and _RESERVED.fullmatch(request.place.bucket):
        raise Problem(
            400,
            "InvalidBucketName",
            "The specified bucket is not valid.",
            BucketName=request.place.bucket,
        )


def check_tags(request: Request) -> None:
    """Refuse a request that gives an object one tag twice.

    Raises:
        Problem: in S3's words.
    """
    if request.method == "PUT" and "tagging" in request.query:
        root = read_xml(request.read_body(_MAX_XML))
        if _has_twins([one.text or "" for one in root.iterfind("{*}TagSet/{*}Tag/{*}Key")]):
            raise Problem(400, "InvalidTag", "Cannot provide multiple Tags with the same key")
    pairs = urllib.parse.parse_qsl(request.header(_HEADER), keep_blank_values=True)
    if _has_twins([key for key, _ in pairs]):
        message = (
            f"The header '{_HEADER}' shall be encoded as UTF-8 then URLEncoded URL query "
            "parameters without tag name duplicates."
        )
        raise Problem(400, "InvalidArgument", message, ArgumentName=_HEADER)


def _has_twins(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)

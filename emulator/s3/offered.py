"""What neither this folder nor moto does in S3: refused by the operation's name.

moto ignores a sub-resource (`?metrics`) that it does not know: it would list, delete or replace the
bucket or the object instead.
"""

import urllib.parse
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session  # type: ignore[import-untyped, unused-ignore]

from emulator.s3.request import Problem, Request, read_xml

_SETTINGS = (
    "accelerate acl cors encryption inventory lifecycle logging notification object-lock "
    "ownershipControls policy publicAccessBlock replication tagging versioning website"
)
# (method, whether for an object) -> the sub-resources that are answered.
_ANSWERED = {
    ("GET", False): f"{_SETTINGS} location policyStatus uploads versions",
    ("PUT", False): _SETTINGS,
    ("DELETE", False): "cors encryption lifecycle ownershipControls policy publicAccessBlock "
    "replication tagging website",
    ("POST", False): "delete",
    ("GET", True): "acl attributes legal-hold tagging",
    ("PUT", True): "acl legal-hold retention tagging",
    ("POST", True): "restore select uploads",
    ("DELETE", True): "tagging",
}
_MAX_XML = 2**16
# Values that do not make another operation.
_NO_SUBRESOURCES = ("list-type", "select-type", "x-id")
# Headers that moto ignores: it would store the object otherwise than they ask for.
_HEADERS = {
    "x-amz-write-offset-bytes": "WriteOffsetBytes (only directory buckets have it)",
    "x-amz-server-side-encryption-customer-algorithm": "encryption with a customer's key (SSE-C)",
    "x-amz-copy-source-server-side-encryption-customer-algorithm": "encryption with a customer's "
    "key (SSE-C)",
}


def check(request: Request) -> None:
    """Refuse what would be answered untruly.

    Raises:
        Problem: names the operation or the header.
    """
    kind = request.method, bool(request.place.key)
    answered = _ANSWERED.get(kind, "").split()
    for name, operation in _operations().get(kind, {}).items():
        if name in request.query and name not in answered:
            raise not_emulated(operation)
    for header, feature in _HEADERS.items():
        if request.header(header):
            raise not_emulated(feature)


def check_versioning(bucket: Any, request: Request) -> None:
    """Refuse to suspend the versions of a bucket that has objects: moto would delete the old ones.

    Raises:
        Problem: says what to do instead.
    """
    status = read_xml(request.read_body(_MAX_XML)).findtext("{*}Status")
    if status == "Suspended" and bucket.is_versioned and bucket.keys:
        raise not_emulated("Suspending the versions of a bucket with objects (delete them first)")


def not_emulated(what: str) -> Problem:
    """Return the error for a feature that is not offered; no client tries again after it."""
    return Problem(501, "NotImplemented", f"{what} is not emulated")


@cache
def _operations() -> Mapping[tuple[str, bool], Mapping[str, str]]:
    """Return the operations of S3: (method, whether for an object) -> sub-resource -> name."""
    model = botocore.session.get_session().get_service_model("s3")
    found: dict[tuple[str, bool], dict[str, str]] = {}
    for operation in model.operation_names:
        http = model.operation_model(operation).http
        path, _, query = http["requestUri"].partition("?")
        names = urllib.parse.parse_qs(query, keep_blank_values=True)
        for name in names:
            if name not in _NO_SUBRESOURCES:
                found.setdefault((http["method"], "{Key" in path), {})[name] = operation
    return found

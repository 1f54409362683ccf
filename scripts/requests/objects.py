"""Objects in S3: list, get, put. Pure functions."""

import re

from scripts.requests.request import Request

# The end of an address of one object: a picture, an archive, a table, JSON, an array.
_ONE_OBJECT = re.compile(
    r"\.(jpe?g|jfif|png|webp|bmp|tiff?|gif|npy|jsonl?|csv|tsv|txt|tar|t?gz|zip)$", re.IGNORECASE
)


def prefix(address: str) -> str:
    """Return the S3 URI that takes everything in a folder and nothing else.

    S3 compares characters: without a slash at its end, `…/dogs` takes `…/dogs-v2` along.
    """
    return address if address.endswith("/") or _ONE_OBJECT.search(address) else f"{address}/"


def list_objects(bucket: str, prefix: str) -> Request:
    """ListObjectsV2."""
    return Request("s3", "ListObjectsV2", {"Bucket": bucket, "Prefix": prefix})


def top(bucket: str, folder: str) -> Request:
    """ListObjectsV2 of what lies directly in a folder: objects, and the names of folders."""
    listed = {"Bucket": bucket, "Prefix": prefix(folder) if folder else "", "Delimiter": "/"}
    return Request("s3", "ListObjectsV2", listed)


def get(bucket: str, key: str) -> Request:
    """GetObject."""
    return Request("s3", "GetObject", {"Bucket": bucket, "Key": key})


def put(bucket: str, key: str, body: bytes | str) -> Request:
    """PutObject; a dry run has the file's path as the body."""
    return Request("s3", "PutObject", {"Bucket": bucket, "Key": key, "Body": body})

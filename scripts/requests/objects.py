"""Objects in S3: list, get, put. Pure functions."""

from scripts.requests.request import Request


def list_objects(bucket: str, prefix: str) -> Request:
    """ListObjectsV2."""
    return Request("s3", "ListObjectsV2", {"Bucket": bucket, "Prefix": prefix})


def first(bucket: str, prefix: str) -> Request:
    """ListObjectsV2 of one object: whether the prefix holds anything."""
    return Request("s3", "ListObjectsV2", {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1})


def get(bucket: str, key: str) -> Request:
    """GetObject."""
    return Request("s3", "GetObject", {"Bucket": bucket, "Key": key})


def put(bucket: str, key: str, body: bytes | str) -> Request:
    """PutObject; a dry run has the file's path as the body."""
    return Request("s3", "PutObject", {"Bucket": bucket, "Key": key, "Body": body})

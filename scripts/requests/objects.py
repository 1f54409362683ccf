"""What lies in S3. Pure functions."""

from scripts.requests.request import Request


def listed(bucket: str, prefix: str) -> Request:
    """ListObjectsV2."""
    return Request("s3", "ListObjectsV2", {"Bucket": bucket, "Prefix": prefix})

"""Who is calling, and whether role and buckets are there: what `kennel doctor` asks."""

from scripts.requests.request import Request


def identity() -> Request:
    """GetCallerIdentity."""
    return Request("sts", "GetCallerIdentity", {})


def role(arn: str) -> Request:
    """GetRole, with its trust policy."""
    return Request("iam", "GetRole", {"RoleName": arn.rpartition("/")[2]})


def bucket(name: str) -> Request:
    """HeadBucket: whether it is there and may be listed."""
    return Request("s3", "HeadBucket", {"Bucket": name})


def bucket_region(name: str) -> Request:
    """GetBucketLocation; without a constraint it is us-east-1."""
    return Request("s3", "GetBucketLocation", {"Bucket": name})

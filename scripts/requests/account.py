"""The caller's identity, the role and the buckets: what `kennel doctor` checks. Pure functions."""

from scripts.requests.request import Request


def identity() -> Request:
    """GetCallerIdentity."""
    return Request("sts", "GetCallerIdentity", {})


def aliases() -> Request:
    """ListAccountAliases: the account's name, if it has one."""
    return Request("iam", "ListAccountAliases", {})


def role(arn: str) -> Request:
    """GetRole, with its trust policy."""
    return Request("iam", "GetRole", {"RoleName": arn.rpartition("/")[2]})


def bucket(name: str) -> Request:
    """HeadBucket: whether the bucket exists and the caller may list it."""
    return Request("s3", "HeadBucket", {"Bucket": name})


def bucket_region(name: str) -> Request:
    """GetBucketLocation; an empty LocationConstraint means us-east-1."""
    return Request("s3", "GetBucketLocation", {"Bucket": name})

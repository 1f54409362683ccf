"""Policies of buckets are checked and kept, and forbid nothing: there are no permissions here."""

import json
from typing import Any

import pytest

from tests.emulator.client import Emulator, refused

BUCKET = "with-policies"
RESOURCES = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
TLS_ONLY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": RESOURCES,
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
PUBLIC = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": RESOURCES[1]}


def policy(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def bucket(emulator: Emulator) -> Emulator:
    emulator.s3.create_bucket(Bucket=BUCKET)
    return emulator


@pytest.mark.parametrize(("statement", "public"), [(TLS_ONLY, False), (PUBLIC, True)])
def test_a_policy_is_kept_and_has_no_effect(
    bucket: Emulator, statement: dict[str, Any], public: bool
) -> None:
    s3 = bucket.s3
    given = policy(statement)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=given)
    assert s3.get_bucket_policy(Bucket=BUCKET)["Policy"] == given
    status = s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"]
    assert status == {"IsPublic": public}
    for more in ({}, {"Tagging": "a=b"}):
        s3.put_object(Bucket=BUCKET, Key="photo", Body=b"photo", **more)
        with s3.get_object(Bucket=BUCKET, Key="photo")["Body"] as stream:
            assert stream.read() == b"photo"
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1
    s3.delete_object(Bucket=BUCKET, Key="photo")
    s3.delete_bucket_policy(Bucket=BUCKET)
    for call in (s3.get_bucket_policy, s3.get_bucket_policy_status):
        assert refused(call, Bucket=BUCKET)[0] == "NoSuchBucketPolicy"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("no JSON", "must be valid JSON"),
        ("[]", "must be valid JSON"),
        ("{}", "Statement"),
        (policy(), "Statement is empty"),
        (policy({**PUBLIC, "Effect": "Perhaps"}), "Invalid effect"),
        (policy({**PUBLIC, "Resource": "arn:aws:s3:::another/*"}), "invalid resource"),
        *[
            (policy({name: PUBLIC[name] for name in PUBLIC if name != field}), field)
            for field in PUBLIC
        ],
    ],
)
def test_a_malformed_policy_is_refused(bucket: Emulator, given: str, reason: str) -> None:
    code, message = refused(bucket.s3.put_bucket_policy, Bucket=BUCKET, Policy=given)
    assert (code, reason in message) == ("MalformedPolicy", True)
    assert refused(bucket.s3.get_bucket_policy, Bucket=BUCKET)[0] == "NoSuchBucketPolicy"
    bucket.s3.put_object(Bucket=BUCKET, Key="photo", Body=b"photo")
    bucket.s3.delete_object(Bucket=BUCKET, Key="photo")

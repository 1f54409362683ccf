"""Policies of buckets: checked in their form, stored, answered, and without effect.

There are no permissions here. moto would apply policies without their conditions: one that forbids
requests without TLS would forbid all.
"""

import json
from typing import Any

from emulator.s3.request import Answer, Problem, Request, xml_answer

PARAMETERS = ({"policy"}, {"policyStatus"})
_MAX = 20 * 1024  # bytes, S3's own limit
_FIELDS = ("Effect", "Principal", "Action", "Resource")


def answer(bucket: Any, request: Request) -> Answer | None:
    """Answer a request for a bucket's policy, or None if S3 has no such request.

    Raises:
        Problem: there is no policy, or the new one has not the form of a policy.
    """
    found: bytes | None = getattr(bucket, "kept_policy", None)
    if request.method == "PUT" and "policy" in request.query:
        bucket.kept_policy = _checked(request.read_body(_MAX), request.place.bucket)
        return Answer(204, {})
    if request.method == "DELETE" and "policy" in request.query:
        bucket.kept_policy = None
        return Answer(204, {})
    if request.method != "GET":
        return None
    if not found:
        message = "The bucket policy does not exist"
        raise Problem(404, "NoSuchBucketPolicy", message, BucketName=request.place.bucket)
    if "policy" in request.query:
        headers = {"Content-Type": "application/json", "Content-Length": str(len(found))}
        return Answer(200, headers, [found])
    public = str(any(map(_is_public, _statements(json.loads(found))))).lower()
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    inside = f"<IsPublic>{public}</IsPublic>"
    return xml_answer(f'<PolicyStatus xmlns="{namespace}">{inside}</PolicyStatus>')


def _checked(policy: bytes, bucket: str) -> bytes:
    """Return the policy.

    Raises:
        Problem: MalformedPolicy, in S3's words.
    """
    try:
        read = json.loads(policy)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    if "Statement" not in read:
        raise _malformed("Missing required field Statement")
    statements = _statements(read)
    if not statements:
        raise _malformed("Could not parse the policy: Statement is empty!")
    for statement in statements:
        if not isinstance(statement, dict):
            raise _malformed("Policy document is malformed: a statement is not an object")
        for field in _FIELDS:
            if field not in statement and (field == "Effect" or f"Not{field}" not in statement):
                raise _malformed(f"Missing required field {field}")
        if statement.get("Effect") not in ("Allow", "Deny"):
            raise _malformed(f"Invalid effect: {statement.get('Effect')}")
        if not all(_is_of(one, bucket) for one in _listed(statement.get("Resource", []))):
            raise _malformed("Policy has invalid resource")
    return policy


def _statements(policy: dict[str, Any]) -> list[Any]:
    return _listed(policy["Statement"])


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_of(resource: Any, bucket: str) -> bool:
    """Whether a resource of a policy can be the bucket or objects of it."""
    name = str(resource).split(":", 5)[-1].partition("/")[0]
    return name == bucket or "*" in name or "?" in name


def _is_public(statement: dict[str, Any]) -> bool:
    principal = statement.get("Principal")
    anyone = principal == "*" or (isinstance(principal, dict) and principal.get("AWS") == "*")
    return anyone and statement.get("Effect") == "Allow" and not statement.get("Condition")


def _malformed(message: str) -> Problem:
    return Problem(400, "MalformedPolicy", message)

"""AWS's error messages in plain words: what is wrong, and the command that fixes it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# AWS's error codes.
FORBIDDEN = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "403")
MISSING = (
    "ResourceNotFound",
    "ResourceNotFoundException",
    "ObjectNotFoundException",
    "RepositoryNotFoundException",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchEntity",
    "404",
)
EXISTS = (
    "ResourceInUse",
    "ResourceInUseException",
    "RepositoryAlreadyExistsException",
    "ResourceAlreadyExistsException",
    "BucketAlreadyOwnedByYou",
    "AlreadyExistsException",
    "ConflictException",
)
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_UNKNOWN_KEY = (
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
)
_THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown")
_LIMITS = ("ResourceLimitExceeded", "LimitExceeded", "ServiceQuotaExceededException")
# SageMaker and CloudFormation say only this, and the reason in words.
_VALIDATION = ("ValidationException", "ValidationError")
_MISSING_TEXT = re.compile(r"not found|could not find|can't find|does not exist", re.IGNORECASE)
_EXISTS_TEXT = re.compile(
    r"must be unique|already exist|cannot create already existing", re.IGNORECASE
)
_UPDATING_TEXT = re.compile(r"in.?progress|is (creating|updating|deleting)", re.IGNORECASE)


@dataclass(frozen=True)
class _Resource:
    """A kind of resource; `parameter` names it in requests."""

    parameter: str
    kind: str
    cure_if_missing: str


_RESOURCES = (
    _Resource("EndpointName", "endpoint", "`kennel endpoints` lists them"),
    _Resource("TrainingJobName", "training job", "`kennel jobs` lists them"),
    _Resource("HyperParameterTuningJobName", "tuning job", "`kennel jobs` lists them"),
    _Resource("TransformJobName", "transform job", "`kennel jobs` lists them"),
    _Resource("RoleName", "role", "check `role` in the experiment"),
    _Resource("Bucket", "bucket", "create it: aws s3 mb s3://{name} --region {region}"),
    _Resource("repositoryName", "ECR repository", "`kennel push` creates it"),
    _Resource("ImageName", "SageMaker image", "`kennel register` creates it"),
)


def is_missing(code: str, message: str) -> bool:
    """Whether the error says that the requested resource does not exist."""
    return code in MISSING or (code in _VALIDATION and bool(_MISSING_TEXT.search(message)))


def is_taken(code: str, message: str) -> bool:
    """Whether the error says that the resource to create exists already."""
    return code in EXISTS or (code in _VALIDATION and bool(_EXISTS_TEXT.search(message)))


def explain(
    operation: str, parameters: Mapping[str, Any], region: str, code: str, message: str
) -> str:
    """Return what is wrong and how to fix it.

    Args:
        operation: the API's name of the operation, or words for several.
        parameters: the request's parameters; they name the resource.
        region: where the request went.
        code: AWS's error code; can be empty.
        message: AWS's message. It is part of the answer where Kennel knows no better words.
    """
    if "<html" in message.lower():
        message = "the answer was a web page and not AWS's: a proxy or another server is in between"
    resource = next((one for one in _RESOURCES if one.parameter in parameters), None)
    name = str(parameters[resource.parameter]) if resource else ""
    # Creating can also fail because another resource in the request is missing.
    creates = operation.startswith("Create")
    if resource and creates and is_taken(code, message):
        return f"a {resource.kind} called {name} exists already: give another name with --name"
    if resource and resource.kind == "endpoint" and _UPDATING_TEXT.search(message):
        return (
            f"endpoint {name} is being created, updated or deleted: wait until `kennel endpoints` "
            "shows InService, then try again"
        )
    if resource and not creates and code != "NoSuchKey" and is_missing(code, message):
        cure = resource.cure_if_missing.format(name=name, region=region)
        return f"no {resource.kind} is called {name} in {region}: {cure}"
    text = f"{operation}: {message.rstrip('.')}"
    if code in FORBIDDEN:
        # AWS's message names the permission: "… is not authorized to perform: x:Y on …".
        return f"{text}\nadd this permission to a policy of your user or role (kennel doctor)"
    if code in _EXPIRED:
        return f"{text}\nthe credentials have expired: run `aws sso login`, or get new ones"
    if code in _UNKNOWN_KEY:
        return f"{text}\nAWS does not know these credentials: check AWS_PROFILE and the access key"
    if code in _LIMITS:
        return (
            f"{text}\nask for more under Service Quotas > Amazon SageMaker; this takes a day or two"
        )
    if code in _THROTTLED:
        return f"{text}\ntoo many calls: wait a minute and try again"
    return f"{text} ({code})" if code else text

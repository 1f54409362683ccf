"""The only boto3 client: sends requests, and explains in plain words why one failed.

boto3 decides where requests go: AWS_ENDPOINT_URL, AWS_REGION, the profile. It is imported at the
first call, so that verbs without AWS start fast.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from scripts.problem import Problem
from scripts.requests.request import Request

# The first try and six retries, unless AWS_MAX_ATTEMPTS is set.
_ATTEMPTS = 7
# AWS's error codes.
_FORBIDDEN = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_UNKNOWN_KEY = ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId",
                "SignatureDoesNotMatch", "InvalidSignatureException")  # fmt: skip
_MISSING = (
    "ResourceNotFound",
    "ResourceNotFoundException",
    "ObjectNotFoundException",
    "RepositoryNotFoundException",
    "NoSuchBucket",
    "NoSuchKey",
    "404",
)


class AwsProblem(Problem):
    """A call failed; `code` is AWS's error code, empty if AWS was not reached."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code

    @property
    def missing(self) -> bool:
        """Whether the requested resource does not exist."""
        if self.code in _MISSING:
            return True
        text = str(self).lower()
        return self.code == "ValidationException" and (
            "not found" in text or "could not find" in text or "does not exist" in text
        )

    @property
    def forbidden(self) -> bool:
        """Whether the caller lacks a permission."""
        return self.code in (*_FORBIDDEN, "403")

    @property
    def already_exists(self) -> bool:
        """Whether the resource to create exists already."""
        return self.code in (
            "ResourceInUse",
            "ResourceInUseException",
            "RepositoryAlreadyExistsException",
            "ResourceAlreadyExistsException",
        )


class Aws:
    """Clients for one region; if `region` is None, the environment and the profile decide."""

    def __init__(self, region: str | None = None) -> None:
        self._region = region
        self._clients: dict[str, Any] = {}

    @cached_property
    def _session(self) -> Any:
        try:
            import boto3  # type: ignore[import-untyped]
        except ImportError:
            raise AwsProblem("boto3 is missing: pip install 'sagemaker-kennel[aws]'") from None
        with translated("starting a session"):
            return boto3.Session(region_name=self._region)

    @property
    def region(self) -> str:
        """The region of all calls.

        Raises:
            AwsProblem: no region is set.
        """
        region = self._session.region_name
        if not region:
            raise AwsProblem(
                'no region: set region = "…" in the experiment, or AWS_REGION, '
                "or a region in the profile (aws configure)"
            )
        return str(region)

    def client(self, service: str) -> Any:
        """Return boto3's client of a service; it is created once."""
        if service not in self._clients:
            from botocore.config import Config  # type: ignore[import-untyped]

            # Retries with backoff: a throttled call must not end a long watch.
            attempts = int(os.environ.get("AWS_MAX_ATTEMPTS") or _ATTEMPTS)
            config = Config(retries={"mode": "standard", "total_max_attempts": attempts})
            with translated(f"creating a client for {service}"):
                self._clients[service] = self._session.client(
                    service, region_name=self.region, config=config
                )
        return self._clients[service]

    def send(self, request: Request) -> dict[str, Any]:
        """Send the request.

        Raises:
            AwsProblem: AWS refused it or was not reached; the message says how to fix it.
        """
        from botocore import xform_name  # type: ignore[import-untyped]

        client = self.client(request.service)
        with translated(request.operation):
            answer: dict[str, Any] = getattr(client, xform_name(request.operation))(
                **request.parameters
            )
        return answer

    def pages(self, request: Request, key: str) -> Iterator[dict[str, Any]]:
        """Yield the entries below `key` of all pages of a List call."""
        token: dict[str, str] = {}
        while True:
            page = self.send(
                Request(request.service, request.operation, request.parameters | token)
            )
            yield from page.get(key, [])
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def objects(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield ListObjectsV2's entry of every object below a prefix."""
        with translated(f"listing s3://{bucket}/{prefix}"):
            pages = self.client("s3").get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                yield from page.get("Contents", [])


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn botocore's errors into an `AwsProblem` that says what to do."""
    from botocore import exceptions as errors

    try:
        yield
    except (
        errors.NoCredentialsError,
        errors.PartialCredentialsError,
        errors.CredentialRetrievalError,
    ):
        raise AwsProblem(
            f"{action}: no AWS credentials: run `aws configure` or `aws sso login`, or set "
            "AWS_PROFILE. If you have no account, `kennel emulator start` replaces AWS"
        ) from None
    except errors.ProfileNotFound as error:
        raise AwsProblem(f"{error}: set AWS_PROFILE to one of ~/.aws/config") from None
    except errors.NoRegionError:
        raise AwsProblem(f"{action}: no region: set AWS_REGION") from None
    except (
        errors.EndpointConnectionError,
        errors.ConnectTimeoutError,
        errors.ConnectionClosedError,
    ) as error:
        address = os.environ.get("AWS_ENDPOINT_URL")
        fix = (
            f"AWS_ENDPOINT_URL is {address}: start the server there (`kennel emulator start`), "
            "or unset it"
            if address
            else "check the network, the proxy and the region's name"
        )
        raise AwsProblem(f"{action}: {error} {fix}") from None
    except errors.ParamValidationError as error:
        raise AwsProblem(f"{action}: {error}") from None
    except errors.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise AwsProblem(_explained(action, code, _message(error)), code) from None


def _message(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Message", error))


def _explained(action: str, code: str, message: str) -> str:
    """AWS's message, and what to do."""
    text = f"{action}: {message}"
    if code in _FORBIDDEN:
        # AWS's message names the permission: "… is not authorized to perform: x:Y on …".
        return f"{text}\nadd this permission to a policy of your user or role (kennel doctor)"
    if code in _EXPIRED:
        return f"{text}\nthe credentials have expired: run `aws sso login`, or get new ones"
    if code in _UNKNOWN_KEY:
        return f"{text}\nAWS does not know these credentials: check AWS_PROFILE and the access key"
    if code == "ResourceLimitExceeded":
        return (
            f"{text}\nask for more under Service Quotas > Amazon SageMaker; this takes a day or two"
        )
    if code in ("ThrottlingException", "Throttling"):
        return f"{text}\ntoo many calls: wait a minute and try again"
    return f"{text} ({code})" if code else text

"""The one place that talks to AWS: sends requests, and says in plain words why one was refused.

Where they go is boto3's own affair: AWS_ENDPOINT_URL, AWS_REGION, the profile. boto3 is imported at
the first call, so that verbs which need no AWS start at once.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from scripts.problem import Problem
from scripts.requests.request import Request

# The first and six more, where the environment says nothing else.
_ATTEMPTS = 7
# AWS's codes for "you may not", "it is not there", "it is there already".
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
    """AWS refused a call; `code` is AWS's own, empty where it was never reached."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code

    @property
    def missing(self) -> bool:
        """Whether what was asked for is not there."""
        if self.code in _MISSING:
            return True
        text = str(self).lower()
        return self.code == "ValidationException" and (
            "not found" in text or "could not find" in text or "does not exist" in text
        )

    @property
    def forbidden(self) -> bool:
        """Whether the caller lacks a right."""
        return self.code in (*_FORBIDDEN, "403")

    @property
    def present(self) -> bool:
        """Whether what was to be made is there already."""
        return self.code in (
            "ResourceInUse",
            "ResourceInUseException",
            "RepositoryAlreadyExistsException",
            "ResourceAlreadyExistsException",
        )


class Aws:
    """Clients for one region; `region` None leaves it to the environment and the profile."""

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
        """The region that calls go to.

        Raises:
            AwsProblem: none is set anywhere.
        """
        region = self._session.region_name
        if not region:
            raise AwsProblem(
                'no region: set region = "…" in the experiment, or AWS_REGION, '
                "or one in the profile (aws configure)"
            )
        return str(region)

    def client(self, service: str) -> Any:
        """boto3's client, made once."""
        if service not in self._clients:
            from botocore.config import Config  # type: ignore[import-untyped]

            # Retries back off; a throttled describe in a long watch is no reason to end it.
            attempts = int(os.environ.get("AWS_MAX_ATTEMPTS") or _ATTEMPTS)
            config = Config(retries={"mode": "standard", "total_max_attempts": attempts})
            with translated(f"making a client of {service}"):
                self._clients[service] = self._session.client(
                    service, region_name=self.region, config=config
                )
        return self._clients[service]

    def send(self, request: Request) -> dict[str, Any]:
        """Make the call.

        Raises:
            AwsProblem: refused or never reached; with the cure.
        """
        from botocore import xform_name  # type: ignore[import-untyped]

        client = self.client(request.service)
        with translated(request.operation):
            answer: dict[str, Any] = getattr(client, xform_name(request.operation))(
                **request.parameters
            )
        return answer

    def pages(self, request: Request, key: str) -> Iterator[dict[str, Any]]:
        """Yield every entry below `key` of every page of a List call."""
        token: dict[str, str] = {}
        while True:
            page = self.send(
                Request(request.service, request.operation, request.parameters | token)
            )
            yield from page.get(key, [])
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn botocore's errors into an `AwsProblem` that says what to do."""
    from botocore import exceptions as of

    try:
        yield
    except (of.NoCredentialsError, of.PartialCredentialsError, of.CredentialRetrievalError):
        raise AwsProblem(
            f"{doing}: no AWS credentials: run `aws configure` or `aws sso login`, or set "
            "AWS_PROFILE. Without an account, `kennel emulator start` stands in for AWS"
        ) from None
    except of.ProfileNotFound as error:
        raise AwsProblem(f"{error}: set AWS_PROFILE to one of ~/.aws/config") from None
    except of.NoRegionError:
        raise AwsProblem(f"{doing}: no region: set AWS_REGION") from None
    except (of.EndpointConnectionError, of.ConnectTimeoutError, of.ConnectionClosedError) as error:
        where = os.environ.get("AWS_ENDPOINT_URL")
        cure = (
            f"AWS_ENDPOINT_URL is {where}: start what should answer there (`kennel emulator "
            "start`), or unset it"
            if where
            else "check the network, the proxy and the region's name"
        )
        raise AwsProblem(f"{doing}: {error} {cure}") from None
    except of.ParamValidationError as error:
        raise AwsProblem(f"{doing}: {error}") from None
    except of.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise AwsProblem(_refusal(doing, code, _message(error)), code) from None


def _message(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Message", error))


def _refusal(doing: str, code: str, message: str) -> str:
    """AWS's words, and what to do about them."""
    said = f"{doing}: {message}"
    if code in _FORBIDDEN:
        # AWS names the missing action in the message: "… is not authorized to perform: x:Y on …".
        return f"{said}\nask for that right in a policy of your user or role (kennel doctor)"
    if code in _EXPIRED:
        return f"{said}\nthe credentials have expired: `aws sso login`, or fetch new ones"
    if code in _UNKNOWN_KEY:
        return f"{said}\nAWS does not know these credentials: check AWS_PROFILE and the access key"
    if code == "ResourceLimitExceeded":
        return (
            f"{said}\nask for more under Service Quotas > Amazon SageMaker; it takes a day or two"
        )
    if code in ("ThrottlingException", "Throttling"):
        return f"{said}\ntoo many calls: wait a minute and try again"
    return f"{said} ({code})" if code else said

"""The only boto3 client: sends requests, and explains in plain words why one failed.

boto3 decides where requests go: AWS_ENDPOINT_URL, AWS_REGION, the profile. It is imported at the
first call, so that verbs without AWS start fast.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from io import BytesIO
from typing import Any

from scripts.aws import emulator, explained
from scripts.problem import Problem
from scripts.requests.request import Request

# The first try and six retries, unless AWS_MAX_ATTEMPTS is set.
_ATTEMPTS = 7
# As many as the threads that upload: boto3's default of 10 would close the others after each call.
_CONNECTIONS = 16


class AwsProblem(Problem):
    """A call failed.

    Attributes:
        code: AWS's error code, empty if AWS was not reached.
        original: AWS's own message, empty if AWS was not reached.
    """

    def __init__(self, message: str, code: str = "", original: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.original = original

    @property
    def missing(self) -> bool:
        """Whether the requested resource does not exist."""
        return explained.is_missing(self.code, self.original)

    @property
    def forbidden(self) -> bool:
        """Whether the caller lacks a permission."""
        return self.code in explained.FORBIDDEN

    @property
    def already_exists(self) -> bool:
        """Whether the resource to create exists already."""
        return explained.is_taken(self.code, self.original)


class Aws:
    """Clients for one region; if `region` is None, the environment and the profile decide."""

    def __init__(self, region: str | None = None) -> None:
        self._region = region
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @cached_property
    def _session(self) -> Any:
        try:
            import boto3  # type: ignore[import-untyped]
            from botocore.config import Config  # type: ignore[import-untyped]
            from botocore.session import get_session  # type: ignore[import-untyped]
        except ImportError:
            raise AwsProblem("boto3 is missing: pip install 'sagemaker-kennel[aws]'") from None
        with translated("starting a session"):
            # boto3 itself reads AWS_DEFAULT_REGION only.
            region = self._region or os.environ.get("AWS_REGION") or None
            core = get_session()
            # Without this, botocore composes the header twice for each request: a seventh of the
            # time of a small upload.
            agent = [f"kennel/{version('sagemaker-kennel')}"]
            if app := core.get_config_variable("user_agent_appid"):
                agent.append(f"app/{app}")
            config = Config(
                # Retries with backoff: a throttled call must not end a long watch.
                retries={
                    "mode": "standard",
                    "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS") or _ATTEMPTS),
                },
                max_pool_connections=_CONNECTIONS,
                user_agent=" ".join(agent),
            )
            core.set_default_client_config(config)
            return boto3.Session(botocore_session=core, region_name=region)

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
        # Clients are for all threads, a session is not.
        with self._lock:
            if service not in self._clients:
                with translated(f"creating a client for {service}"):
                    self._clients[service] = self._session.client(service, region_name=self.region)
                    events = self._clients[service].meta.events
                    events.register("before-call.s3.PutObject", _send_bytes_at_once)
            return self._clients[service]

    def send(self, request: Request) -> dict[str, Any]:
        """Send the request.

        Raises:
            AwsProblem: AWS refused it or was not reached; the message says how to fix it.
        """
        from botocore import xform_name  # type: ignore[import-untyped]

        client = self.client(request.service)
        with translated(request.operation, request.parameters, self.region):
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
        action = f"listing s3://{bucket}/{prefix}"
        with translated(action, {"Bucket": bucket}, self.region):
            pages = self.client("s3").get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                yield from page.get("Contents", [])


def _send_bytes_at_once(params: dict[str, Any], **_: object) -> None:
    """Send an object that is in memory without `Expect: 100-continue`, which costs a round trip.

    Files are sent with it. boto3 makes a file of bytes, and asks for all files.
    """
    if isinstance(params["body"], BytesIO):
        params["body"] = params["body"].getvalue()
        params["headers"].pop("Expect", None)


@contextmanager
def translated(
    action: str, parameters: Mapping[str, Any] | None = None, region: str = ""
) -> Iterator[None]:
    """Turn botocore's errors into an `AwsProblem` that says what to do.

    Args:
        action: the operation, or words for several.
        parameters: the request's parameters.
        region: where the request goes.
    """
    from botocore import exceptions as errors
    from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

    try:
        yield
    except (
        errors.NoCredentialsError,
        errors.PartialCredentialsError,
        errors.CredentialRetrievalError,
    ):
        raise AwsProblem(
            f"{action}: no AWS credentials: run `aws configure` or `aws sso login`, or set "
            f"AWS_PROFILE\nwithout an account: {emulator.advice()}"
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
        if address:
            raise AwsProblem(
                f"{action}: nothing answers at {address} (AWS_ENDPOINT_URL)\n{emulator.advice()}; "
                "or `unset AWS_ENDPOINT_URL` to use AWS"
            ) from None
        reason = f"{action}: {str(error).rstrip('.')}"
        raise AwsProblem(f"{reason}\ncheck the network, the proxy and the region's name") from None
    except ResponseParserError:
        where = os.environ.get("AWS_ENDPOINT_URL", "AWS")
        raise AwsProblem(
            f"{action}: the answer from {where} is not AWS's: check for a proxy or another server"
        ) from None
    except errors.ParamValidationError as error:
        raise AwsProblem(f"{action}: {error}") from None
    except errors.ClientError as error:
        about = error.response.get("Error", {})
        code, message = str(about.get("Code", "")), str(about.get("Message", error))
        text = explained.explain(action, parameters or {}, region, code, message)
        raise AwsProblem(text, code, f"{action}: {message} ({code})") from None

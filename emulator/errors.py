"""SageMaker's errors, by its own names; raised anywhere in this room, answered by the server.

The texts follow what the service says, as read in public threads and in botocore's model.
"""

from typing import Any


class ApiError(Exception):
    """An answer other than success.

    Args:
        message: what the caller reads.
        status: the HTTP status.
        code: the error's name in the API.
        fields: further members of the error's shape.
    """

    code = "InternalFailure"
    status = 500

    def __init__(
        self, message: str, *, code: str = "", status: int = 0, fields: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.status = status or self.status
        self.fields = fields or {}


class Invalid(ApiError):
    """ValidationException: the request says something that SageMaker refuses."""

    code = "ValidationException"
    status = 400


class NotFound(ApiError):
    """ResourceNotFound."""

    code = "ResourceNotFound"
    status = 400


class InUse(ApiError):
    """ResourceInUse: the name is taken."""

    code = "ResourceInUse"
    status = 400


class LimitExceeded(ApiError):
    """ResourceLimitExceeded: an account's quota."""

    code = "ResourceLimitExceeded"
    status = 400


class NotEmulated(ApiError):
    """The service has this; the emulator has not."""

    code = "UnknownOperationException"
    status = 400


class JobError(Exception):
    """Why a job or an endpoint failed; its text becomes the FailureReason."""

"""SageMaker's errors, under SageMaker's names: raised anywhere, answered by the server.

The texts follow SageMaker's, as found in public threads and in botocore's model.
"""

from typing import Any


class ApiError(Exception):
    """An error answer.

    Args:
        message: for the caller.
        status: the HTTP status.
        code: the error's name in the API.
        fields: other members of the error's shape.
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
    """ValidationException: SageMaker refuses the request."""

    code = "ValidationException"
    status = 400


class NotFound(ApiError):
    """ResourceNotFound: no resource has this name."""

    code = "ResourceNotFound"
    status = 400


class InUse(ApiError):
    """ResourceInUse: the name is taken."""

    code = "ResourceInUse"
    status = 400


class Conflict(ApiError):
    """ConflictException: other resources are in the way."""

    code = "ConflictException"
    status = 400


class LimitExceeded(ApiError):
    """ResourceLimitExceeded: the request exceeds an account quota."""

    code = "ResourceLimitExceeded"
    status = 400


class NotEmulated(ApiError):
    """The emulator does not have this operation."""

    code = "UnknownOperationException"
    status = 400


class JobError(Exception):
    """The reason why a job or an endpoint failed; its text becomes the FailureReason."""

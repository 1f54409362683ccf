"""The JSON of every error answer, from nginx and from the worker alike.

{"code": 415, "message": "what was wrong", "hint": "how to fix it", "request_id": "..."}
"""

import json
from collections.abc import Mapping


class RequestError(Exception):
    """A request that gets an error instead of a prediction.

    Args:
        code: the HTTP status.
        message: what was wrong, for the sender of the request.
        hint: how to fix it.
    """

    def __init__(self, code: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def without_frames(self) -> "RequestError":
        """Return the error to store or to raise again.

        The frames of a traceback hold the request's bytes and pixels. An error that is stored in
        one of these frames, or in a caller's, would keep them until the garbage collector runs; one
        that is stored in a module, until it is raised again.
        """
        return RequestError(self.code, self.message, self.hint)

    def body(self, request_id: str) -> bytes:
        """Return the JSON body, one line, UTF-8."""
        fields = {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "request_id": request_id,
        }
        return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def first(errors: Mapping[int, RequestError]) -> RequestError:
    """Return the error of the first picture that has one, to raise it for the whole request."""
    return errors[min(errors)].without_frames()

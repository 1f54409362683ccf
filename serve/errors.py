"""The JSON of every error answer, from nginx and from the worker alike.

{"code": 415, "message": "what was wrong", "hint": "how to fix it", "request_id": "..."}
"""

import json


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

    def body(self, request_id: str) -> bytes:
        """Return the JSON body, one line, UTF-8."""
        fields = {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "request_id": request_id,
        }
        return json.dumps(fields, ensure_ascii=False).encode() + b"\n"

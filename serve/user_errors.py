"""Errors of the user's code: which are the client's mistake, and what the client is told."""

import logging
import traceback

from PIL import UnidentifiedImageError
from PIL.Image import DecompressionBombError
from sagemaker_inference.errors import UnsupportedFormatError

from serve import user_statuses
from serve.errors import RequestError
from serve.handler import internal_error

log = logging.getLogger(__name__)

_ACCEPTS = "see what the code of the endpoint accepts"
_SEE_INPUT = "see what input_fn accepts"


def input_error(error: Exception) -> RequestError:
    """Return the answer to an error of input_fn, which only reads what the client sent."""
    if isinstance(error, LookupError | TypeError):  # of the request, or a mistake of the code
        log.warning("input_fn could not read a request", exc_info=error)
    elif not isinstance(error, ValueError | AssertionError | UnsupportedFormatError) and (
        type(error) is not Exception
    ):
        return any_error(error)
    if picture := _of_picture(error):
        return picture
    code = _status(error) or 400
    return RequestError(code, f"the request cannot be read: {_words(error)}", _SEE_INPUT)


def output_error(error: Exception, accept: str) -> RequestError:
    """Return the answer to an error of output_fn, to which the client gives only its Accept."""
    if isinstance(error, UnsupportedFormatError | AssertionError) or _names(error, accept):
        return RequestError(406, _words(error), "see what output_fn can write")
    return any_error(error)


def transform_error(error: Exception, content_type: str, accept: str) -> RequestError:
    """Return the answer to an error of transform_fn: its words say what it is about."""
    for code, header in ((415, content_type), (406, accept)):
        if _names(error, header):
            return RequestError(code, _words(error), _ACCEPTS)
    return any_error(error)


def any_error(error: Exception) -> RequestError:
    """Return the 4xx of an error that carries one, as the toolkit's do, or of a bad picture.

    Any other error is a 500, and its traceback goes to the log.
    """
    if isinstance(error, RequestError):
        return error
    if code := _status(error):
        reason = getattr(error, "message", None) or error
        return RequestError(code, str(reason)[:300], _ACCEPTS)
    return _of_picture(error) or internal_error(error, "a request failed in custom code")


def _status(error: Exception) -> int | None:
    if isinstance(error, UnsupportedFormatError):
        return 415
    code = getattr(error, "status_code", None)
    return user_statuses.sent(code) if isinstance(code, int) and 400 <= code < 500 else None


def _of_picture(error: Exception) -> RequestError | None:
    """Return the 400 of a picture that Pillow cannot read, in whichever function; else None."""
    if isinstance(error, UnidentifiedImageError):
        return RequestError(400, "the bytes are not a picture that Pillow can read", _ACCEPTS)
    if isinstance(error, DecompressionBombError):
        return RequestError(400, str(error)[:300], "send a smaller picture")
    if not isinstance(error, MemoryError) and _while_decoding(error):
        reason = f"the picture is damaged or cut short ({str(error)[:300]})"
        return RequestError(400, reason, "send it again")
    return None


def _while_decoding(error: Exception) -> bool:
    """Return whether an error came from Pillow's `load`, which reads a picture at its first use."""
    return any(
        frame.f_code.co_name == "load" and frame.f_globals.get("__name__", "").startswith("PIL.")
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _names(error: Exception, header: str) -> bool:
    """Return whether the words of an error name the value of a header."""
    return bool(header) and header in str(error) and not _status(error)


def _words(error: Exception) -> str:
    words = str(error)[:300]
    if isinstance(error, LookupError | TypeError) or not words:
        return f"{type(error).__name__}: {words}" if words else type(error).__name__
    return words

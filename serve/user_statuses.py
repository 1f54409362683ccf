"""What a user's code sets of an answer, as the server can send it."""

from serve.front.headers import COSTLY

# nginx takes these of a worker for answers about the server itself, and replaces them
# (serve/front/template.py): the model is not there, the client is too slow, the body is too large.
_CLIENT = frozenset({404, 408, 413, COSTLY})
_SERVER = frozenset({502, 504, 507})
_LONGEST_PHRASE = 100
_LONGEST_TYPE = 200


def sent(code: object) -> int:
    """Return the status that is sent for one that the code set.

    Raises:
        ValueError: no status of a final answer. Another number would leave the client waiting.
    """
    if isinstance(code, bool) or not isinstance(code, int) or not 200 <= code < 600:
        raise ValueError(f"{code!r:.100} is no status: set a number from 200 to 599")
    if code in _CLIENT:
        return 400
    return 500 if code in _SERVER else code


def phrase(given: object) -> str:
    """Return a reason phrase as one short line: a line end in it would end the status line."""
    line = "" if given is None else " ".join(str(given).split())
    return "".join(one for one in line if one.isascii() and one.isprintable())[:_LONGEST_PHRASE]


def is_content_type(given: object) -> bool:
    """Return whether it can be the value of that header."""
    return (
        isinstance(given, str)
        and given.isascii()
        and given.isprintable()
        and len(given) <= _LONGEST_TYPE
    )


def content_type(given: object) -> str:
    """Return a content type that the code set.

    Raises:
        ValueError: what cannot be one.
    """
    if not is_content_type(given):
        raise ValueError(f"{given!r:.100} is no content type")
    return str(given)

"""JSON bodies: the requests of our own clients and those of other model servers.

Values are counted before any object is built of them. Nothing in them is fetched.
"""

import json
import re
from collections.abc import Mapping

from serve.errors import RequestError
from serve.formats.base64_text import HINT, decoded
from serve.formats.envelopes import MORE_VALUES, Content, check_count
from serve.formats.magic import in_utf8
from serve.formats.options import once

# Keys for pictures in an object: ours, Hugging Face's (inputs), TensorFlow's and KServe's
# (instances, b64, image_bytes), TorchServe's (data, body), Vertex AI's (content).
_PICTURES = (
    "image", "images", "inputs", "instances", "b64", "image_bytes", "data", "body", "content",
)  # fmt: skip
# Keys of other servers whose usual values ask for what happens anyway; other values are refused.
_SIGNATURES = (None, "", "serving_default")  # TensorFlow Serving
_OPTIONS = frozenset({"use_cache", "use_gpu", "wait_for_model"})  # Hugging Face
# Keys next to a picture that only describe it: its bytes decide.
_LABELS = frozenset({"mimeType", "mime_type", "contentType", "content_type", "filename", "format"})
# Lists of numbers, of pixels or of bytes: `[[[12, 13, 14], …`, perhaps in an object. Looked for
# where the body begins.
_PIXELS = re.compile(rb'\s*(\{\s*"\w{1,50}"\s*:\s*)?(\[\s*){1,4}-?\d')
# The same anywhere there, in another server's object or a Node Buffer; or a Uint8Array, known by
# the first byte of a picture.
_NUMBERS = re.compile(
    rb'\[\s*-?\d[\d.eE+-]*\s*,\s*-?\d|"0"\s*:\s*(?:255|137|82|71|66|73|77)\s*,\s*"1"\s*:'
)
_PIXELS_ERROR = RequestError(
    415,
    "lists of numbers are not supported, neither pixels nor bytes",
    "send them as application/x-npy (numpy.save of a uint8 array [H, W, 3]), "
    "or the bytes of the picture as they are, or in base64",
)
_OPEN_INFERENCE_ERROR = RequestError(
    400,
    "this is a request of the Open Inference Protocol (KServe v2), which is not supported",
    'send {"instances": [{"b64": "<base64>"}]}, as in KServe v1',
)
_HEAD = 4096  # bytes, where it is looked for what a body is


def from_json(body: bytes, max_pictures: int) -> Content:
    """Read pictures in base64 or data URLs: one, a list, or an object with either.

    Raises:
        RequestError: 400, 415 for what is not pictures, 422 for more than allowed.
    """
    try:
        body = in_utf8(body)
    except UnicodeError as error:
        raise RequestError(400, f"the body is not JSON ({str(error)[:100]})", HINT) from None
    if _PIXELS.match(body[:500]):
        raise _PIXELS_ERROR.without_frames()
    commas = body.count(b",")  # one in each data URL; base64 has none
    if commas > 4 * max_pictures + MORE_VALUES:
        if b'"datatype"' in body[:_HEAD]:
            raise _OPEN_INFERENCE_ERROR.without_frames()
        if _NUMBERS.search(body[:_HEAD]):
            raise _PIXELS_ERROR.without_frames()
        raise RequestError(
            422,
            f"{commas + 1:,} values in one request; at most {max_pictures} pictures are allowed",
            HINT + "; send pixels as application/x-npy",
        )
    try:
        # Not strict: a shell's "$(base64 photo.jpg)" has line ends.
        given: object = json.loads(body, object_pairs_hook=once, strict=False)
    except (ValueError, RecursionError) as error:
        if b'"binary_data_size"' in body[:_HEAD]:
            raise _OPEN_INFERENCE_ERROR.without_frames() from None
        hint = HINT
        if "Extra data" in str(error):
            hint = "send several JSON values, one on each line, as application/jsonlines"
        raise RequestError(400, f"the body is not JSON ({str(error)[:100]})", hint) from None
    return from_value(given, max_pictures)


def from_value(given: object, max_pictures: int, line: int | None = None) -> Content:
    """Read what a JSON text holds.

    Args:
        given: the value.
        max_pictures: in one list.
        line: its number, where it comes from a line of several.
    """
    parameters: Mapping[str, object] = {}
    if isinstance(given, dict):
        given, parameters = _open(given)
    if isinstance(given, dict):  # TensorFlow's columns: {"inputs": {"image_bytes": […]}}
        column = _only_picture(given, _which(1, line))
        given = column if isinstance(column, list) else given
    if isinstance(given, list):
        if given and isinstance(given[0], int | float):
            raise _PIXELS_ERROR.without_frames()
        check_count(len(given), max_pictures)
        pictures = (_picture(one, _which(n, line)) for n, one in enumerate(given, 1))
        return Content(tuple(pictures), is_list=True, parameters=parameters)
    return Content((_picture(given, _which(1, line)),), parameters=parameters)


def _which(position: int, line: int | None) -> str:
    """Return what an error calls a picture."""
    return f"picture {position}" if line is None else f"line {line}"


def _open(given: dict[str, object]) -> tuple[object, Mapping[str, object]]:
    """Return the pictures and the parameters of an object; refuse keys that ask for more."""
    named = [name for name in _PICTURES if name in given]
    if len(named) != 1:
        found = f"it has {', '.join(named)}" if named else f"it has {_names(given)}"
        raise RequestError(400, f"a JSON object needs one of {', '.join(_PICTURES)}: {found}", HINT)
    pictures = given[named[0]]
    if _is_open_inference(pictures):
        raise _OPEN_INFERENCE_ERROR.without_frames()
    signature = given.get("signature_name")
    if signature not in _SIGNATURES:
        raise RequestError(
            400,
            f"there is no signature {str(signature)[:50]!r}: there is serving_default only",
            "leave signature_name out",
        )
    options = given.get("options") or {}
    if not isinstance(options, dict) or not set(options) <= _OPTIONS:
        raise RequestError(
            400,
            f"options can have {', '.join(sorted(_OPTIONS))} only",
            "put top_k and threshold into parameters",
        )
    if unknown := set(given) - {named[0], "parameters", "signature_name", "options", *_LABELS}:
        raise RequestError(
            400,
            f"the JSON object has {_names(unknown)}, which is not supported; "
            "only parameters can be added",
            HINT,
        )
    parameters = given.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise RequestError(400, "parameters must be an object", HINT)
    return pictures, parameters


def _names(keys: object) -> str:
    """Return the first keys, for an error."""
    assert isinstance(keys, dict | set)
    shown = [repr(str(key)[:30]) for key in sorted(keys, key=str)[:5]]
    return ", ".join(shown) or "no keys"


def _is_open_inference(given: object) -> bool:
    return isinstance(given, list) and any(
        isinstance(one, dict) and "datatype" in one for one in given[:3]
    )


def _picture(given: object, which: str) -> bytes:
    for _ in range(2):  # {"b64": "…"}, {"image_bytes": {"b64": "…"}}
        if isinstance(given, dict):
            given = _only_picture(given, which)
    if isinstance(given, list) and given and isinstance(given[0], int | float | list):
        raise _PIXELS_ERROR.without_frames()
    if not isinstance(given, str):
        raise RequestError(400, f"{which} is not a string", HINT)
    return decoded(given, which)


def _only_picture(given: dict[str, object], which: str) -> object:
    named = [name for name in _PICTURES if name in given]
    # TensorFlow's names of inputs are the model's own; its b64 marks a picture.
    named = named or [name for name, value in given.items() if _is_b64(value)]
    if unknown := set(given) - {*named, *_LABELS}:
        raise RequestError(400, f"{which} has {_names(unknown)}, which is not supported", HINT)
    if len(named) > 1:
        raise RequestError(400, f"{which} has {_names(set(named))}: one of them is read", HINT)
    return given[named[0]] if named else None


def _is_b64(given: object) -> bool:
    first = given[0] if isinstance(given, list) and given else given
    return isinstance(first, dict) and first.keys() == {"b64"}

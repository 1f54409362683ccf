"""Bodies other than the plain bytes of a picture: JSON, forms and numpy arrays.

Pictures, parts and values are counted before any object is built of them.
Nothing in them is executed, unpickled or fetched: a URL instead of a picture is refused.
"""

import base64
import binascii
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from serve.errors import RequestError

Pixels = npt.NDArray[np.uint8]  # [H, W, 3] or [H, W]


@dataclass(frozen=True)
class Content:
    """The content of a body.

    Args:
        pictures: encoded bytes or pixels.
        is_list: whether they came as a list; the answer is a list too, then.
        parameters: options in the body.
    """

    pictures: tuple[bytes | Pixels, ...]
    is_list: bool = False
    parameters: Mapping[str, object] = field(default_factory=dict)


# Keys for pictures in a JSON object: ours, Hugging Face's, TensorFlow's.
_PICTURES = ("image", "images", "inputs", "instances")
_BASE64 = ("b64", "image", "data")
_JSON_HINT = (
    'send {"images": ["<base64>", "data:image/png;base64,…"], "parameters": {"top_k": 5}}, '
    "one base64 string, or a list of them"
)
# Values in addition to the pictures: options, and what belongs to a picture.
_MORE_VALUES = 100
_PART_NAME = re.compile(rb'name="([^"]{1,100})"')


def check_count(count: int, most: int) -> None:
    """Raise RequestError 422 for more pictures than allowed."""
    if count > most:
        raise RequestError(
            422,
            f"{count} pictures in one request; at most {most} are allowed",
            "send them in several requests, or raise KENNEL_MAX_PICTURES",
        )


def from_json(body: bytes, max_pictures: int) -> Content:
    """Read pictures in base64 or data URLs: one, a list, or an object with either.

    Raises:
        RequestError: 400, or 422 for more pictures or values than allowed.
    """
    commas = body.count(b",")  # one in each data URL; base64 has none
    if commas > 4 * max_pictures + _MORE_VALUES:
        raise RequestError(
            422,
            f"{commas + 1:,} values in one request; at most {max_pictures} pictures are allowed",
            _JSON_HINT + "; send pixels as application/x-npy",
        )
    try:
        given: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON ({str(error)[:100]})", _JSON_HINT) from None
    parameters: Mapping[str, object] = {}
    if isinstance(given, dict):
        named = [name for name in _PICTURES if name in given]
        if len(named) != 1 or not set(given) <= {*named, "parameters"}:
            raise RequestError(
                400,
                f"a JSON object needs one of {', '.join(_PICTURES)}; only parameters can be added",
                _JSON_HINT,
            )
        named_parameters = given.get("parameters") or {}
        if not isinstance(named_parameters, dict):
            raise RequestError(400, "parameters must be an object", _JSON_HINT)
        parameters, given = named_parameters, given[named[0]]
    if isinstance(given, list):
        check_count(len(given), max_pictures)
        pictures = tuple(_from_base64(item, position) for position, item in enumerate(given, 1))
        return Content(pictures, is_list=True, parameters=parameters)
    return Content((_from_base64(given, 1),), parameters=parameters)


def _from_base64(given: object, position: int) -> bytes:
    if isinstance(given, dict) and len(given) == 1:
        given = next((given[name] for name in _BASE64 if name in given), None)
    if not isinstance(given, str):
        raise RequestError(400, f"picture {position} is not a string", _JSON_HINT)
    if re.match(r"(?!data:)[A-Za-z][A-Za-z0-9+.-]*:", given[:20]):
        raise RequestError(
            400,
            f"picture {position} is a URL, and the server fetches nothing",
            "send the bytes of the picture in base64",
        )
    if given[:5].lower() == "data:":
        declared, comma, given = given.partition(",")
        if not comma or not declared.lower().endswith(";base64"):
            raise RequestError(
                400, f"picture {position}: a data URL must have ;base64,", _JSON_HINT
            )
    try:
        return base64.b64decode("".join(given.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"picture {position} is not base64 ({error})", _JSON_HINT) from None


def from_form(body: bytes, boundary: str, max_pictures: int) -> Content:
    """Read multipart/form-data: a part with a file name is a picture, any other an option.

    Raises:
        RequestError: 400, or 422 for more pictures or parts than allowed.

    Source: RFC 7578.
    """
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    parts_given = body.count(delimiter)
    if parts_given > max_pictures + _MORE_VALUES:
        check_count(parts_given, max_pictures)
    opening, *parts = (b"\r\n" + body).split(delimiter)
    hint = "send it as curl -F picture=@photo.jpg does"
    if not boundary or not parts or opening.strip() or not parts[-1].startswith(b"--"):
        raise RequestError(400, "the form is damaged or cut short", hint)
    pictures: list[bytes] = []
    parameters: dict[str, object] = {}
    for part in parts[:-1]:
        head, blank, value = part.partition(b"\r\n\r\n")
        named = _PART_NAME.search(head)
        if not blank or named is None:
            raise RequestError(400, "a part of the form has no name", hint)
        if b"filename" in head.lower():
            pictures.append(value)
        else:
            parameters[named[1].decode("latin-1")] = value[:100].decode("latin-1")
    check_count(len(pictures), max_pictures)
    return Content(tuple(pictures), is_list=len(pictures) != 1, parameters=parameters)


def from_npy(body: bytes, max_pictures: int) -> Content:
    """Read a numpy array of uint8: [H, W], [H, W, 3] or [N, H, W, 3], red, green, blue.

    Not by numpy.load, which allocates whatever size the header claims.

    Raises:
        RequestError: 400, 415 for another type or shape, or 422 for more pictures than allowed.
    """
    hint = "send numpy.save of a uint8 array [H, W, 3] or [N, H, W, 3]"
    stream = io.BytesIO(body)
    try:
        version = npy.read_magic(stream)
        if version > (2, 0):
            raise ValueError(f"version {version} of the format")
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, kind = header(stream)
    except Exception as error:  # a malformed header can raise anything
        raise RequestError(400, f"this is not a numpy array ({str(error)[:100]})", hint) from None
    data = stream.read()
    if kind != np.uint8 or fortran or not _is_picture(shape):
        raise RequestError(
            415, f"an array of {kind} with shape {str(shape)[:100]} is not supported", hint
        )
    if len(shape) == 4:
        check_count(shape[0], max_pictures)
    if len(data) != int(np.prod([int(side) for side in shape], dtype=object)):
        raise RequestError(400, "the array is cut short or has extra bytes", hint)
    array = np.frombuffer(data, np.uint8).reshape(shape)
    return Content(tuple(array), is_list=True) if array.ndim == 4 else Content((array,))


def _is_picture(shape: tuple[int, ...]) -> bool:
    channels = shape[-1:] == (3,)
    return min(shape, default=0) > 0 and (len(shape) == 2 or (len(shape) in (3, 4) and channels))

"""Bodies of pixels: numpy arrays as numpy.save writes them.

Nothing is unpickled, and no memory is taken for what the header claims.
"""

import io
import math

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from serve.errors import RequestError
from serve.formats.envelopes import Content, check_count
from serve.formats.magic import picture_format

MAGIC = b"\x93NUMPY"
_MOST_DIMENSIONS = 32  # of numpy 1
_HINT = (
    "send numpy.save of a uint8 array of 0 to 255: [H, W, 3] (red, green, blue), [H, W] (grey), "
    "or [N, H, W, 3]"
)


def from_npy(body: bytes, max_pictures: int) -> Content:
    """Read uint8 [H, W], [H, W, 1 or 3] or [N, H, W, 1 or 3], in C or Fortran order.

    Not by numpy.load, which allocates whatever size the header claims.

    Raises:
        RequestError: 400, 415 for another type or shape, or 422 for more pictures than allowed.
    """
    shape, fortran, kind, start = _header(body)
    if kind != np.uint8:
        raise RequestError(415, _wrong_kind(kind), _HINT)
    is_row = len(shape) == 1 or (len(shape) == 2 and 1 in shape)
    if is_row and (name := picture_format(body[start:])):
        raise RequestError(
            415,
            f"the array holds the bytes of a {name} picture, not its pixels",
            f"send the bytes as they are, as image/{name.lower()}",
        )
    wrong = _wrong_shape(shape)
    if wrong:
        raise RequestError(415, f"an array of shape {str(shape)[:100]} {wrong}", _HINT)
    if len(shape) == 4:
        check_count(shape[0], max_pictures)
    if len(body) - start != math.prod(shape):
        raise RequestError(400, "the array is cut short or has extra bytes", _HINT)
    flat = np.frombuffer(body, np.uint8, offset=start)
    array = flat.reshape(shape, order="F" if fortran else "C")
    if len(shape) > 2 and shape[-1] == 1:
        array = array[..., 0]
    return Content(tuple(array), is_list=True) if len(shape) == 4 else Content((array,))


def is_floats(body: bytes) -> bool:
    """Return whether a body is an array of floats, which no bundle takes."""
    if not body.startswith(MAGIC):
        return False
    try:
        return _header(body)[2].kind == "f"
    except RequestError:
        return False


def floats(body: bytes, max_pictures: int) -> npt.NDArray[np.float32]:
    """Read an array for a user's own network: [N, C, H, W] or [C, H, W], as float32 with N.

    Raises:
        RequestError: 400, 415 for another shape, or 422 for more pictures than allowed.
    """
    hint = "send numpy.save of a float32 array [N, C, H, W]"
    shape, fortran, kind, start = _header(body)
    if len(shape) not in (3, 4) or min(shape) <= 0:
        raise RequestError(415, f"an array of shape {str(shape)[:100]} is not [N, C, H, W]", hint)
    if len(shape) == 4:
        check_count(shape[0], max_pictures)
    if len(body) - start != math.prod(shape) * kind.itemsize:
        raise RequestError(400, "the array is cut short or has extra bytes", hint)
    array = np.frombuffer(body, kind, offset=start).reshape(shape, order="F" if fortran else "C")
    batch = array if len(shape) == 4 else array[None]
    return np.array(batch, np.float32, order="C")


def to_npy(array: npt.NDArray[np.generic]) -> bytes:
    """Return an array as numpy.save writes it."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def to_csv(array: npt.NDArray[np.generic]) -> bytes:
    """Return an array as rows of comma-separated values."""
    stream = io.StringIO()
    np.savetxt(stream, np.atleast_2d(array), delimiter=",", fmt="%s")
    return stream.getvalue().rstrip("\n").encode()


def _header(body: bytes) -> tuple[tuple[int, ...], bool, "np.dtype[np.generic]", int]:
    """Return shape, whether in Fortran order, type, and where the data begins."""
    if body[:2] == b"PK":
        raise RequestError(
            415, "this is a zip file, as numpy.savez and scipy.sparse.save_npz write it", _HINT
        )
    stream = io.BytesIO(body[: 2**16 + 16])
    try:
        version = npy.read_magic(stream)
        if version > (2, 0):
            raise ValueError(f"version {version} of the format")
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, kind = header(stream)
        # A shape in hexadecimal digits can be too long to be written in an error.
        if len(shape) > _MOST_DIMENSIONS or not all(abs(size) < 2**63 for size in shape):
            raise ValueError("no array has this shape")
    except Exception as error:  # a malformed header can raise anything
        raise RequestError(400, f"this is not a numpy array ({str(error)[:100]})", _HINT) from None
    # True counts as an integer where numpy checks the shape, and not where it is used.
    return tuple(map(int, shape)), fortran, kind, stream.tell()


def _wrong_kind(kind: "np.dtype[np.generic]") -> str:
    name = str(kind)[:50]
    if kind.kind == "f":
        return (
            f"an array of {name} is not supported: nobody knows whether its values go to 1 or 255, "
            "or are normalised"
        )
    if kind.kind == "O":
        return "an array of Python objects is not supported: nothing is unpickled"
    return f"an array of {name} is not supported"


def _wrong_shape(shape: tuple[int, ...]) -> str:
    """Return why these are not the pixels of pictures; empty if they are."""
    if min(shape, default=0) <= 0:
        return "has no pixels"
    if len(shape) == 2 or (len(shape) in (3, 4) and shape[-1] in (1, 3)):
        return ""
    if len(shape) in (3, 4) and shape[-3] in (1, 3, 4):
        order = "(1, 2, 0)" if len(shape) == 3 else "(0, 2, 3, 1)"
        return f"has its channels first; they must be last: array.transpose{order}"
    if len(shape) in (3, 4) and shape[-1] == 4:
        return "has four channels; alpha is not supported: array[..., :3]"
    if len(shape) == 3:
        return "is neither one picture nor a list: several grey pictures are [N, H, W, 1]"
    return "is not one of pictures"

"""Makes a photo small enough for an endpoint; phones make photos that are larger than a request."""

import io
from pathlib import Path

from scripts.problem import Problem

# The longest sides that are tried, in pixels: networks look at 224 to 600.
_SIDES = (2048, 1024, 640)
_QUALITY = 92


def to_limit(photo: Path, data: bytes, limit: int) -> bytes:
    """Return the photo as a smaller JPEG, upright.

    Args:
        photo: its path, for messages.
        data: the encoded photo, larger than `limit`.
        limit: bytes.

    Raises:
        Problem: it cannot be decoded, or Pillow is missing.
    """
    try:
        from pictures import decoder
    except ImportError:
        raise Problem(
            f"{photo}: {len(data):,} bytes are more than a request can have ({limit:,}): make it "
            "smaller, or pip install 'sagemaker-kennel[data]', with which kennel does it"
        ) from None
    try:
        picture = decoder.decode(data, at_least=_SIDES[-1])
    except decoder.ImageError as error:
        raise Problem(f"{photo}: {error}") from None
    for side in _SIDES:
        picture.thumbnail((side, side))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=_QUALITY)
        if file.tell() <= limit:
            return file.getvalue()
    raise AssertionError(f"a JPEG of {_SIDES[-1]} pixels a side is smaller than {limit} bytes")

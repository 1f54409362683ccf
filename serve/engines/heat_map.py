"""A heat map as a PNG: red where the picture supports a class, else transparent. In numpy."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from classifier.transform import Floats

_MOST_OPAQUE = 200  # of 255, so that the picture below remains visible


def png(strength: Floats, height: int, width: int) -> bytes:
    """Return the heat map of a picture.

    Args:
        strength: [h, w], of the feature maps' places; negative ones do not support the class.
        height: of the picture, pixels.
        width: of the picture, pixels.
    """
    positive = np.maximum(strength.astype(np.float32), 0)
    large = _between(len(positive), height) @ positive @ _between(positive.shape[1], width).T
    large = large / max(float(large.max()), 1e-12)
    picture = Image.new("RGBA", (width, height), (255, 0, 0, 0))
    picture.putalpha(Image.fromarray((large * _MOST_OPAQUE).astype(np.uint8)))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _between(small: int, large: int) -> npt.NDArray[np.float32]:
    """Return the weights [large, small] of a linear interpolation between centres of pixels."""
    places = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    left = np.floor(places).astype(int)
    right = np.minimum(left + 1, small - 1)
    weights = np.zeros((large, small), np.float32)
    rows = np.arange(large)
    np.add.at(weights, (rows, left), 1 - (places - left))
    np.add.at(weights, (rows, right), places - left)
    return weights

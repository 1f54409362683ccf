"""The golden pictures of a bundle and their logits: they prove that a server computes as training.

Without torch, so that a server without it replays them too.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
from PIL import Image

from classifier.description import GOLDEN, BundleError, Described
from classifier.transform import EvaluationTransform, Floats
from pictures.decoder import ImageError, decode

# Float32 on another processor changes logits by about 1e-5 of their size. Another decoder,
# transform or weight changes them far more than this tolerance.
TOLERANCE = 1e-3
_MOST_PHOTOS = 16  # training writes four

Predict = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Golden:
    """JPEG bytes, and their float32 logits [photos, classes]."""

    photos: tuple[bytes, ...]
    logits: Floats

    def encode(self) -> bytes:
        """Return golden.safetensors."""
        arrays: dict[str, npt.NDArray[Any]] = {
            f"photo.{index}": np.frombuffer(photo, np.uint8)
            for index, photo in enumerate(self.photos)
        }
        logits = np.ascontiguousarray(self.logits, np.float32)
        return safetensors.numpy.save(arrays | {"logits": logits})

    def difference(self, logits: Floats) -> float:
        """Return the largest difference of `logits` [photos, classes] from the golden ones.

        It is relative to the largest golden logit if that is over 1; infinite if a logit is not a
        number. Up to `TOLERANCE` is good.
        """
        scale = max(1.0, float(np.abs(self.logits).max()))
        difference = float(np.abs(logits - self.logits).max()) / scale
        return difference if np.isfinite(difference) else float("inf")

    def replay(self, transform: EvaluationTransform, predict: Predict) -> float:
        """Compute the logits again, with decoder, transform and network; return the difference.

        Args:
            transform: the bundle's.
            predict: float32 [B, 3, H, W] -> logits [B, classes].
        """
        return self.difference(predict(inputs(self.photos, transform)))


def read(described: Described) -> Golden:
    """Read and check the golden pictures of a bundle.

    Raises:
        BundleError: missing, damaged or inconsistent.
    """
    path, classes = described.directory / GOLDEN, len(described.description.classes)
    try:
        arrays = safetensors.numpy.load(described.contents(GOLDEN))
    except safetensors.SafetensorError as error:
        raise BundleError(f"{path} is not a safetensors file: {error}") from error
    logits = arrays.pop("logits", np.empty(0))
    if not arrays or logits.shape != (len(arrays), classes):
        raise BundleError(
            f"{path} has {len(arrays)} pictures and logits of shape "
            f"{tuple(logits.shape)}, for {classes} classes: save the bundle again"
        )
    if logits.dtype != np.float32 or not np.isfinite(logits).all():
        raise BundleError(f"{path} has logits that are not finite float32 numbers")
    names = [f"photo.{index}" for index in range(len(arrays))]
    if len(names) > _MOST_PHOTOS or arrays.keys() != set(names):
        raise BundleError(
            f"{path} does not have photo.0 and so on, at most {_MOST_PHOTOS} pictures"
        )
    photos = []
    for name in names:
        if arrays[name].dtype != np.uint8 or arrays[name].ndim != 1:
            raise BundleError(f"{name} in {path} is not the bytes of a picture")
        photos.append(arrays[name].tobytes())
        try:
            decode(photos[-1], at_least=1)  # no more pixels than any picture
        except ImageError as error:
            raise BundleError(f"{name} in {path} is not a usable picture: {error}") from error
    return Golden(tuple(photos), logits)


def inputs(photos: Sequence[bytes], transform: EvaluationTransform) -> Floats:
    """Return the network's inputs for pictures, float32 [photos, 3, crop, crop]."""
    return np.stack([transform.read(photo) for photo in photos])


def shrink(photos: Sequence[Image.Image], short_side: int) -> tuple[bytes, ...]:
    """Return small JPEGs of upright RGB pictures, without metadata.

    Raises:
        BundleError: no pictures.
    """
    if not photos:
        raise BundleError("a bundle needs at least one golden picture")
    return tuple(_thumbnail(photo, short_side) for photo in photos)


def _thumbnail(photo: Image.Image, short_side: int) -> bytes:
    scale = short_side / min(photo.size)
    if scale < 1:
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    buffer = io.BytesIO()
    photo.convert("RGB").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()

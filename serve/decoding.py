"""From the pictures of a request to pixels, within bounds for the request and for the worker."""

import contextlib
import os
import threading
from collections.abc import Iterator

import torch
from PIL import Image

from classifier.transform import EvaluationTransform
from pictures.decoder import Cost, ImageError, OversizeImage, cost
from serve.errors import RequestError
from serve.formats import contents
from serve.formats.envelopes import Content, Pixels
from serve.front import processes
from serve.settings import Settings

_LEAST = 64 * 2**20  # bytes for decoding, however little memory is left


class MemoryGate:
    """Lets threads decode at the same time while their memory fits; the others wait.

    Args:
        limit: the resident bytes allowed for this process.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._capacity = _LEAST
        self._used = 0
        self._changed = threading.Condition()

    def measure(self) -> None:
        """Set the capacity to the memory that is left now; call it while nothing is decoded."""
        self._capacity = max(_LEAST, self._limit - processes.resident_bytes(os.getpid()))

    @contextlib.contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Wait for `size` bytes, and free them at the end. More than the capacity waits for all."""
        size = min(size, self._capacity)
        with self._changed:
            self._changed.wait_for(lambda: self._used + size <= self._capacity)
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()


def read_pictures(
    content: Content, transform: EvaluationTransform, settings: Settings, gate: MemoryGate
) -> torch.Tensor:
    """Return the pictures of one request, float32 [N, 3, crop, crop].

    All headers are read before the first picture is decoded.

    Raises:
        RequestError: 400, 415 or 422, with the position of the picture.
    """
    pixels, errors = read_lines(content, transform, settings, gate)
    if errors:
        raise errors[min(errors)]
    return pixels


def read_lines(
    content: Content, transform: EvaluationTransform, settings: Settings, gate: MemoryGate
) -> tuple[torch.Tensor, dict[int, RequestError]]:
    """Return the good pictures, float32 [N, 3, crop, crop], and the error of each bad line.

    All headers are read before the first picture is decoded. Only JSON Lines can be good in part.

    Raises:
        RequestError: 400, 415 or 422: of the first bad picture of another body, or if no line is
            good, or if the good ones are over the limit of a request.
    """
    errors = dict(content.line_errors)
    costs: dict[int, Cost] = {}
    records = list(zip(content.indices, content.pictures, content.positions, strict=True))
    for index, picture, position in records:
        try:
            costs[index] = _cost(picture, position, transform, settings.max_pixels)
        except RequestError as error:
            if not content.is_lines:
                raise
            errors[index] = error
    together = sum(one.pixels for one in costs.values())
    if together > settings.request_pixels:
        raise RequestError(
            422,
            f"the pictures have {together:,} pixels together; "
            f"at most {settings.request_pixels:,} are allowed in one request",
            "send them in several requests, or raise KENNEL_MAX_REQUEST_PIXELS",
        )
    pixels = []
    for index, picture, position in records:
        if index not in costs:
            continue
        with gate.taken(costs[index].memory):
            try:
                pixels.append(_read(picture, position, transform, settings.max_pixels))
            except RequestError as error:
                if not content.is_lines:
                    raise
                errors[index] = error
    if not pixels:
        raise errors[min(errors)]
    return torch.stack(pixels), errors


def _cost(
    picture: bytes | Pixels,
    position: str,
    transform: EvaluationTransform,
    max_pixels: int,
) -> Cost:
    try:
        if isinstance(picture, bytes):
            return cost(picture, max_pixels=max_pixels, at_least=transform.at_least)
        height, width = picture.shape[:2]
        if width * height > max_pixels:
            raise OversizeImage(
                f"the array is {width} x {height} pixels; at most {max_pixels:,} pixels are taken: "
                "send a smaller one"
            )
        return Cost(width * height, 12 * width * height)
    except ImageError as error:
        raise contents.picture_error(error, position) from error


def _read(
    picture: bytes | Pixels,
    position: str,
    transform: EvaluationTransform,
    max_pixels: int,
) -> torch.Tensor:
    try:
        if isinstance(picture, bytes):
            return transform.read(picture, max_pixels=max_pixels)
        return transform(Image.fromarray(picture).convert("RGB"))
    except ImageError as error:
        raise contents.picture_error(error, position) from error

"""From a request to pixels, within bounds for the request and for the process. Without torch.

Workers and the lane (`serve/lane`) read requests with this code.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pictures.decoder import Cost, ImageError, OversizeImage, cost, decode
from pictures.geometry import CentreCrop
from serve import triage
from serve.errors import RequestError, first
from serve.formats import accepting, answers, contents, encodings, magic
from serve.formats.envelopes import Content, Pixels
from serve.formats.options import Options, read_options
from serve.front import processes
from serve.front.headers import ACCEPT, ATTRIBUTES, CONTENT_ENCODING, CONTENT_TYPE, QUERY
from serve.settings import Settings

_LEAST = 64 * 2**20  # bytes for decoding, however little memory is left
# What a worker decodes itself: a baseline JPEG of 16 megapixels, a PNG of 4.
QUICK_S = 0.1
# What explaining a picture costs, in pictures: forward with all steps, backward, and a PNG.
EXPLAINED = 8


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


@dataclass(frozen=True)
class Asked:
    """What a request asks for in addition to its pictures."""

    options: Options
    answer_format: answers.Format


def parse(
    headers: Mapping[str, str], body: bytes, settings: Settings, most: int | None = None
) -> tuple[Content, Asked]:
    """Return the pictures of a request, not decoded yet, and what it asks for.

    Args:
        headers: of the request, with the names in `serve/front/headers.py`.
        body: as sent, with its Content-Encoding.
        settings: its limits.
        most: the largest body, in bytes, when it is unpacked; None is that of the settings.

    Raises:
        RequestError: 400, 406, 415 or 422; 200 for litter in a batch transform, which has an answer
            but no prediction.
    """
    answer_format = choose_format(headers, settings)
    body = encodings.undo(headers.get(CONTENT_ENCODING), body, most or settings.max_body)
    if settings.is_batch and (name := magic.litter(body)):
        # One object that is refused fails the whole transform: SageMaker sends every object.
        raise RequestError(200, f"this is {name}, not a picture", "it has no prediction")
    kind = headers.get(CONTENT_TYPE)
    content = contents.read(kind, body, max_pictures=settings.max_pictures)
    options = read_options(headers.get(QUERY), headers.get(ATTRIBUTES), content.parameters)
    answer_format.check(options)
    explained = len(content.pictures) if options.explain else 0
    if explained > (most := max(1, settings.max_pictures // EXPLAINED)):
        raise RequestError(
            422,
            f"{explained} pictures to explain in one request; at most {most} are allowed",
            f"an explained picture counts as {EXPLAINED}: send several requests, or raise "
            "KENNEL_MAX_PICTURES",
        )
    return content, Asked(options, answer_format)


def choose_format(headers: Mapping[str, str], settings: Settings) -> answers.Format:
    """Return the format of the answer.

    Raises:
        RequestError: 406.
    """
    default = settings.default_format
    if contents.is_lines(headers.get(CONTENT_TYPE)):
        default = default.as_lines
    return accepting.choose(headers.get(ACCEPT), default)


def is_quick(content: Content, crop: CentreCrop) -> bool:
    """Return whether a worker can decode all pictures without delaying other requests much."""
    taken = 0.0
    for picture in content.pictures:
        taken += triage.seconds(picture, crop)
        if taken > QUICK_S:
            return False
    return True


def read_pictures(
    content: Content, crop: CentreCrop, settings: Settings, gate: MemoryGate | None = None
) -> Pixels:
    """Return the pictures of one request, uint8 [N, crop, crop, 3].

    Raises:
        RequestError: as `read_lines`, also for a bad line.
    """
    pixels, errors = read_lines(content, crop, settings, gate)
    if errors:
        raise first(errors)
    return pixels


def read_lines(
    content: Content, crop: CentreCrop, settings: Settings, gate: MemoryGate | None = None
) -> tuple[Pixels, dict[int, RequestError]]:
    """Return the good pictures, uint8 [N, crop, crop, 3], and the error of each bad line.

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
            costs[index] = _cost(picture, position, crop, settings.max_pixels)
        except RequestError as error:
            if not content.is_lines:
                raise
            errors[index] = error.without_frames()
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
        with gate.taken(costs[index].memory) if gate else contextlib.nullcontext():
            try:
                pixels.append(_read(picture, position, crop, settings.max_pixels))
            except RequestError as error:
                if not content.is_lines:
                    raise
                errors[index] = error.without_frames()
    if not pixels:
        raise first(errors)
    return np.stack(pixels), errors


def _cost(picture: bytes | Pixels, position: str, crop: CentreCrop, max_pixels: int) -> Cost:
    try:
        if isinstance(picture, bytes):
            return cost(picture, max_pixels=max_pixels, at_least=crop.resize)
        height, width = picture.shape[:2]
        if width * height > max_pixels:
            raise OversizeImage(
                f"the array is {width} x {height} pixels; at most {max_pixels:,} pixels are taken: "
                "send a smaller one"
            )
        return Cost(width * height, 12 * width * height)
    except ImageError as error:
        raise contents.picture_error(error, position) from error


def _read(picture: bytes | Pixels, position: str, crop: CentreCrop, max_pixels: int) -> Pixels:
    try:
        if isinstance(picture, bytes):
            image = decode(picture, max_pixels=max_pixels, at_least=crop.resize)
        else:
            image = Image.fromarray(picture).convert("RGB")
        return np.asarray(crop(image))
    except ImageError as error:
        raise contents.picture_error(error, position) from error

"""Answers the photos of a page by an endpoint or a bundle, then asks for heat maps."""

import base64
import binascii
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from scripts.console.safe import without_escapes
from scripts.photos import invoking
from scripts.photos.invoking import Answer
from scripts.problem import Problem
from scripts.ui import context
from scripts.ui.photos import album, bundle
from scripts.ui.photos.album import Album, Photo

# Photos that are asked for together, so that the first answers are soon there.
_TOGETHER = 16
# An explained photo costs the server as much as eight others.
MOST_EXPLAINED = 24
_LARGEST_HEAT_MAP = 2**21  # bytes
_PNG = b"\x89PNG\r\n\x1a\n"
_DATA_URL = "data:image/png;base64,"


@dataclass(frozen=True)
class Target:
    """Who answers: an endpoint (and one of its models), or a bundle on this machine."""

    endpoint: str = ""
    model: str = ""
    bundle: str = ""


class Work:
    """The answering of an album, in a thread; `said` is what it does now."""

    def __init__(self, photos: Album, target: Target, *, explain: bool) -> None:
        self._album = photos
        self._target = target
        self._explain = explain
        self._stop = threading.Event()
        self.said = ""
        self.note = ""

    def stop(self) -> None:
        """End after the requests that are open now."""
        self._stop.set()

    def run(self) -> None:
        """Answer all photos.

        Raises:
            Problem: there is nobody to ask: no such endpoint, a bundle that cannot be loaded.
        """
        photos, who = self._album.photos, ""
        if self._target.bundle:
            self.said = "loading the bundle"
            who = f" by {bundle.engine(Path(self._target.bundle))}"
        for start in range(0, len(photos), _TOGETHER):
            if self._stop.is_set():
                self.said = f"stopped after {start} of {len(photos)} photos"
                return
            self.said = f"photo {start + 1} of {len(photos)}"
            some = photos[start : start + _TOGETHER]
            for photo in some:
                self._album.prepare(photo)
            self._answer(some)
        if self._explain:
            self._explain_all([one for one in photos if one.body][:MOST_EXPLAINED])
        answered = sum(one.body is not None for one in photos)
        self.said = f"{answered} of {len(photos)} photos answered{who}"

    def _answer(self, some: Sequence[Photo]) -> None:
        for photo, answer in self._ask(some, explain=False):
            if answer.body is None:
                photo.error = without_escapes(answer.error)
                continue
            try:
                photo.body = album.checked(answer.body)
            except Problem as problem:
                photo.error = str(problem)
                continue
            photo.milliseconds = answer.milliseconds
            if answer.shrunk_from:
                photo.note = f"a smaller copy was sent: the file has {answer.shrunk_from:,} bytes"

    def _explain_all(self, photos: Sequence[Photo]) -> None:
        """Ask for heat maps, the first alone: if there is none, say why and ask no more."""
        for some in (photos[:1], photos[1:]):
            if self._stop.is_set():
                return
            self.said = "asking for heat maps"
            for photo, answer in self._ask(some, explain=True):
                found = (answer.body or {}).get("heat_map")
                if answer.body is None or found is None:
                    why = answer.error or "the endpoint answers without one"
                    self.note = f"no heat map: {without_escapes(why)}"
                    return
                share = answer.body.get("heat_map_share")
                if picture := _png(found):
                    is_known = isinstance(share, int | float) and 0 < share <= 1
                    photo.heat_map = (picture, float(share or 0) if is_known else 0.0)
        if len([one for one in self._album.photos if one.body]) > MOST_EXPLAINED:
            self.note = f"the first {MOST_EXPLAINED} photos have heat maps"

    def _ask(self, some: Sequence[Photo], *, explain: bool) -> Iterator[tuple[Photo, Answer]]:
        good = {one.path: one for one in some if one.path and not one.error}
        if not good:
            return
        paths = [path for path in good if path]
        target = self._target
        if target.bundle:
            found = bundle.answers(Path(target.bundle), paths, explain=explain)
        else:
            attributes = "explain=gradcam" if explain else None
            found = invoking.invoke(
                context.current().aws, target.endpoint, paths, target.model or None, attributes
            )
        with closing(found) as each:  # type: ignore[type-var]
            try:
                for answer in each:
                    yield good[answer.photo], answer
                    if self._stop.is_set():
                        return
            except ValueError as error:
                raise Problem(f"{target.endpoint}: its answer is not JSON ({error})") from error


def _png(found: object) -> bytes:
    """Return the bytes of a data URL of a PNG; empty if it is something else."""
    if not isinstance(found, str) or not found.startswith(_DATA_URL):
        return b""
    if len(found) > _LARGEST_HEAT_MAP:
        return b""
    try:
        data = base64.b64decode(found.removeprefix(_DATA_URL), validate=True)
    except binascii.Error:
        return b""
    return data if data.startswith(_PNG) else b""

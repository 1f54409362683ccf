"""The photos of one page "Try a photo": their files within bounds, thumbnails, and answers.

Thumbnails are encoded here, so that the browser gets no byte of the files and no metadata.
"""

import io
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pictures import folders
from pictures.decoder import ImageError, cost, decode
from scripts.console.safe import without_escapes
from scripts.photos import listing
from scripts.problem import Problem

MOST_PHOTOS = 500
MOST_BYTES = 100 * 2**20  # of a file
MOST_BYTES_TOGETHER = 2**30
MOST_PIXELS_TOGETHER = 4_000_000_000
# Files and folders that are looked at below a folder.
MOST_LISTED = 100_000
_SIDE = 480  # pixels of a thumbnail
_QUALITY = 82
_LONGEST_NAME = 200
# One picture is decoded at a time in the whole process: it can take a gigabyte.
_decoding = threading.Lock()


@dataclass
class Photo:
    """A photo, and what is known of it so far.

    Attributes:
        number: its place on the page.
        name: as the browser or the folder has it: text, never a path to open.
        path: where its bytes are; None if they were refused.
        folder: the name of the folder that it is in; empty if that is not known.
        error: why it has no answer.
        note: what was done to it, such as that a smaller copy was sent.
        size: width and height in pixels, upright.
        thumbnail: a JPEG.
        body: the server's answer in its verbose form.
        milliseconds: that the answer took.
        heat_map: a PNG, and the side of its square as a share of the shorter side (0: unknown).
    """

    number: int
    name: str
    path: Path | None = None
    folder: str = ""
    error: str = ""
    note: str = ""
    size: tuple[int, int] = (0, 0)
    thumbnail: bytes = b""
    body: dict[str, Any] | None = None
    milliseconds: float | None = None
    heat_map: tuple[bytes, float] | None = None


@dataclass
class Album:
    """Photos that were dropped on a page, or that are in a folder of this machine."""

    photos: list[Photo] = field(default_factory=list)
    left_out: int = 0
    _bytes: int = 0
    _pixels: int = 0
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def add_dropped(self, name: str, size: int) -> Photo | None:
        """Add a photo whose bytes come from the browser; None if there are too many.

        Args:
            name: with the folders, if a folder was dropped.
            size: bytes, as the browser says.
        """
        if len(self.photos) >= MOST_PHOTOS:
            self.left_out += 1
            return None
        number = len(self.photos)
        parts = [part for part in name.replace("\\", "/").split("/") if part]
        photo = Photo(number, _short(name), folder=parts[-2] if len(parts) > 1 else "")
        self.photos.append(photo)
        if size > MOST_BYTES:
            self.refuse(photo, f"{size:,} bytes: a photo can have {MOST_BYTES:,}")
            return photo
        self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="kennel-photos-")
        # The name's end selects the content type; nothing else of it becomes part of a path.
        end = Path(parts[-1]).suffix.lower() if parts else ""
        known = listing.content_type(Path(f"photo{end}")) != "application/x-image"
        photo.path = Path(self._temporary.name) / f"{number}{end if known else ''}"
        return photo

    def takes(self, photo: Photo, received: int, chunk: int) -> bool:
        """Whether a photo, and all photos together, can have `chunk` bytes more."""
        self._bytes += chunk
        if received + chunk > MOST_BYTES:
            self.refuse(photo, f"more than {MOST_BYTES:,} bytes, which a photo can have")
        elif self._bytes > MOST_BYTES_TOGETHER:
            limit = f"{MOST_BYTES_TOGETHER:,} bytes"
            self.refuse(photo, f"the photos have more than {limit} together: drop fewer at once")
        return not photo.error

    def refuse(self, photo: Photo, why: str) -> None:
        """Give a photo its message, and forget its bytes."""
        photo.error = without_escapes(why)
        if photo.path and self._temporary:
            photo.path.unlink(missing_ok=True)
        photo.path = None

    def add_path(self, path: Path) -> None:
        """Add a photo or a folder of photos that is on this machine.

        Raises:
            Problem: there is no such file or folder, it has no pictures, or too many files.
        """
        found = listing.pictures([path], MOST_LISTED)
        room = MOST_PHOTOS - len(self.photos)
        self.left_out += len(found[room:])
        for file in found[:room]:
            name = file.relative_to(path) if path.is_dir() else Path(file.name)
            photo = Photo(len(self.photos), _short(str(name)), file, file.absolute().parent.name)
            self.photos.append(photo)

    def prepare(self, photo: Photo) -> None:
        """Make the thumbnail; a photo that is none, or too much, gets its message."""
        if photo.path is None or photo.thumbnail:
            return
        try:
            size = photo.path.stat().st_size
            if size > MOST_BYTES:
                self.refuse(photo, f"{size:,} bytes: a photo can have {MOST_BYTES:,}")
                return
            data = photo.path.read_bytes()
            self._pixels += cost(data).pixels
            if self._pixels > MOST_PIXELS_TOGETHER:
                millions = f"{MOST_PIXELS_TOGETHER // 1_000_000:,} megapixels"
                self.refuse(photo, f"the photos have more than {millions} together: give fewer")
                return
            with _decoding:
                photo.thumbnail, photo.size = thumbnail(data, _SIDE)
        except ImageError as error:
            self.refuse(photo, str(error))
        except OSError as error:
            self.refuse(photo, error.strerror or str(error))
        except MemoryError:
            self.refuse(photo, "this machine has too little memory for the picture")

    def close(self) -> None:
        """Delete the files that were dropped."""
        if self._temporary:
            self._temporary.cleanup()


def thumbnail(data: bytes, side: int) -> tuple[bytes, tuple[int, int]]:
    """Return a small JPEG of a picture, upright and without metadata, and its width and height.

    Raises:
        ImageError: it cannot be decoded.
    """
    picture = decode(data, at_least=side)
    picture.thumbnail((side, side))
    size = picture.size
    picture.info.clear()
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue(), size


def labels(photos: Sequence[Photo]) -> dict[str, str]:
    """Return folder -> class, for the folders whose names are classes of the answers.

    A folder has the name of a class, or it is written as training writes folders, such as
    `001.Affenpinscher`.
    """
    known = {label for one in photos if one.body for label in one.body["labels"]}
    names = list(dict.fromkeys(one.folder for one in photos if one.folder))
    plain = folders.display_names(names)
    found = {}
    for name, shown in zip(names, plain, strict=True):
        if name in known or shown in known:
            found[name] = name if name in known else shown
    return found


def checked(body: object) -> dict[str, Any]:
    """Return an answer that has what the page shows.

    Raises:
        Problem: it is the answer of another kind of server.
    """
    if isinstance(body, dict):
        names, shares = body.get("labels"), body.get("probabilities")
        if (
            isinstance(names, list)
            and isinstance(shares, list)
            and len(names) == len(shares) > 0
            and all(isinstance(one, str) for one in names)
            and all(isinstance(one, int | float) for one in shares)
        ):
            return body
    raise Problem("the answer has no labels and probabilities: this endpoint is not Kennel's")


def _short(name: str) -> str:
    clean = without_escapes(name).replace("\n", " ").replace("\t", " ")
    return clean if len(clean) <= _LONGEST_NAME else f"…{clean[1 - _LONGEST_NAME :]}"

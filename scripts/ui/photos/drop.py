"""Where photos are dropped or chosen: the browser sends each file alone, within bounds."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import Request, Response
from nicegui import app, ui

from scripts.ui.photos.album import MOST_BYTES, MOST_PHOTOS, Album

_LONGEST_NAME = 4096
# The albums of the pages that are open, by a secret key.
albums: dict[str, Album] = {}


class Drop(ui.element, component="drop.js"):
    """A place for files: drop them, or choose them with the keyboard.

    Args:
        key: of the page's album.
        on_done: called after the last file, with how many were given.
    """

    def __init__(self, key: str, on_done: Callable[[int], Awaitable[None]]) -> None:
        super().__init__()
        self._props["address"] = f"/photo/drop/{key}"
        self._props["most"] = MOST_PHOTOS
        self._props["mostBytes"] = MOST_BYTES
        self.on("done", lambda event: on_done(int(event.args["count"])))


@app.post("/photo/drop/{key}")
async def receive(key: str, request: Request) -> Response:
    """Take one file; what is wrong with it becomes its message on the page."""
    if key not in albums:
        return Response("kennel ui: open the page again", 404, media_type="text/plain")
    query = request.query_params
    if query.get("first"):
        albums[key].close()
        albums[key] = Album()
    album = albums[key]
    size = query.get("size", "")
    known = int(size) if size.isdecimal() and len(size) < 19 else 0
    photo = album.add_dropped(query.get("name", "")[:_LONGEST_NAME], known)
    if photo is None or photo.path is None:
        return Response(status_code=204)
    received = 0
    with Path(photo.path).open("wb") as file:
        async for chunk in request.stream():
            if not album.takes(photo, received, len(chunk)):
                break
            file.write(chunk)
            received += len(chunk)
    return Response(status_code=204)


@app.get("/photo/picture/{key}/{name}")
def picture(key: str, name: str) -> Response:
    """Return a thumbnail (`3.jpg`) or a heat map (`3.png`)."""
    number, _, kind = name.partition(".")
    photos = albums[key].photos if key in albums else []
    if number.isdecimal() and len(number) < 6 and int(number) < len(photos):
        photo = photos[int(number)]
        if kind == "jpg" and photo.thumbnail:
            return Response(photo.thumbnail, media_type="image/jpeg")
        if kind == "png" and photo.heat_map:
            return Response(photo.heat_map[0], media_type="image/png")
    return Response("kennel ui: there is no such picture", 404, media_type="text/plain")

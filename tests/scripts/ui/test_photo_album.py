"""The photos of the page "Try a photo", without a browser: bounds, names, thumbnails, verdicts."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.problem import Problem
from scripts.ui.photos import album, answering, sheet
from scripts.ui.photos.album import Album, Photo


def picture(width: int = 60, height: int = 40, seed: int = 0, **how: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **how)
    return file.getvalue()


@pytest.fixture
def photos() -> Iterator[Album]:
    found = Album()
    yield found
    found.close()


def dropped(photos: Album, name: str, data: bytes) -> Photo:
    """Add a photo as the page's route does."""
    photo = photos.add_dropped(name, len(data))
    assert photo
    if photo.path and photos.takes(photo, 0, len(data)):
        photo.path.write_bytes(data)
    return photo


def test_a_name_is_text_and_never_a_path(photos: Album) -> None:
    for name in ("../../etc/passwd.png", "a\0b.jpg", "C:\\x\\pug\\1.JPG", "..", "", "\x1b[2J.gif"):
        photo = dropped(photos, name, picture())
        assert photo.path
        assert photo.path.parent.name.startswith("kennel-photos-")
        assert photo.path.stem == str(photo.number)
        assert "\x1b" not in photo.name
    assert [one.folder for one in photos.photos[:3]] == ["etc", "", "pug"]
    folder = photos.photos[0].path
    assert folder
    photos.close()
    assert not folder.parent.exists()


def test_a_thumbnail_is_ours_upright_and_has_no_metadata(photos: Album) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    exif[0x010E] = "where I live"
    photo = dropped(photos, "1.jpg", picture(1200, 600, exif=exif))
    photos.prepare(photo)
    assert photo.size == (240, 480)
    assert b"where I live" not in photo.thumbnail
    assert not Image.open(io.BytesIO(photo.thumbnail)).getexif()


def test_a_bad_file_gets_its_message_and_the_others_go_on(photos: Album) -> None:
    bad, good = dropped(photos, "bad.jpg", b"no picture"), dropped(photos, "good.jpg", picture())
    for one in photos.photos:
        photos.prepare(one)
    assert "not a picture" in bad.error
    assert bad.path is None
    assert good.thumbnail
    assert not good.error


def test_number_bytes_and_pixels_are_bounded(
    photos: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = picture()
    monkeypatch.setattr(album, "MOST_BYTES", 2 * len(data))
    monkeypatch.setattr(album, "MOST_BYTES_TOGETHER", 3 * len(data))
    monkeypatch.setattr(album, "MOST_PIXELS_TOGETHER", 60 * 40 + 1)
    monkeypatch.setattr(album, "MOST_PHOTOS", 5)
    said = photos.add_dropped("said.jpg", 3 * len(data))
    assert said
    assert "bytes: a photo can have" in said.error
    lied = photos.add_dropped("lied.jpg", 10)  # more comes than was said
    assert lied
    assert not photos.takes(lied, 2 * len(data), 1)
    assert "which a photo can have" in lied.error
    first, second, third = (dropped(photos, f"{n}.jpg", picture(seed=n)) for n in range(3))
    assert "together" in third.error
    photos.prepare(first)
    photos.prepare(second)
    assert first.thumbnail
    assert "megapixels together" in second.error
    assert photos.add_dropped("more.jpg", 1) is None
    assert photos.left_out == 1


def test_a_folder_with_too_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(picture(seed=number))
    monkeypatch.setattr(album, "MOST_PHOTOS", 3)
    photos = Album()
    photos.add_path(tmp_path)
    assert [one.name for one in photos.photos] == ["0.jpg", "1.jpg", "2.jpg"]
    assert photos.left_out == 1
    monkeypatch.setattr(album, "MOST_LISTED", 3)
    with pytest.raises(Problem, match="more than 3 files"):
        Album().add_path(tmp_path)


def answered(name: str, folder: str, shares: dict[str, float], **more: object) -> Photo:
    body = {"labels": list(shares), "probabilities": list(shares.values()), **more}
    return Photo(0, name, folder=folder, body=album.checked(body), size=(200, 100))


def test_right_and_wrong_are_by_the_names_of_the_folders() -> None:
    photos = [
        answered("1", "001.pug", {"pug": 0.9, "beagle": 0.1}),
        answered("2", "002.beagle", {"pug": 0.6, "beagle": 0.4}),
        answered("3", "holidays", {"pug": 0.6, "beagle": 0.4}),
    ]
    assert sheet.summary(photos) == (
        "1 of 2 right (50.0%), by the names of their folders; 1 in folders that are no class"
    )
    assert [[cell.text for cell in row.cells] for row in sheet.by_class(photos)] == [
        ["beagle", "0", "1", "0%"],
        ["pug", "1", "1", "100%"],
    ]
    assert [row.cells[5].text for row in sheet.rows(photos)] == ["right", "wrong", ""]
    assert sheet.summary(photos[2:]) == ""


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, ""),
        (0.5, "like the photos of training"),
        (0.97, "unusual for the network"),
        (0.99, "unusual for the network"),
        (0.991, "unlike anything in training"),
    ],
)
def test_novelty_is_in_words(share: float | None, words: str) -> None:
    assert sheet.in_words(share) == words


def test_a_heat_map_covers_the_square_that_the_answer_names() -> None:
    photo = answered("1", "", {"pug": 1.0})
    photo.heat_map = (b"", 0.8)
    square = sheet._square(photo)
    assert square == pytest.approx({"left": 0.3, "top": 0.1, "width": 0.4, "height": 0.8})


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"labels": ["a"], "probabilities": [0.5, 0.5]},
        {"labels": [], "probabilities": []},
        {"labels": [{}], "probabilities": [1]},
        {"labels": ["a"], "probabilities": ["<b>"]},
    ],
)
def test_the_answer_of_another_kind_of_server_is_named(body: object) -> None:
    with pytest.raises(Problem, match="not Kennel's"):
        album.checked(body)


@pytest.mark.parametrize(
    "found", [None, "x", "data:image/svg+xml;base64,PHN2Zz4=", "data:image/png;base64,PHN2Zz4="]
)
def test_a_heat_map_that_is_no_png_is_not_shown(found: object) -> None:
    assert answering._png(found) == b""

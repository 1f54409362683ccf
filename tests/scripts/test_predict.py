"""`kennel predict`: files and folders, photos over the limit, scores in files, a drawing."""

import csv
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.console import drawing
from scripts.photos import listing, shrink
from scripts.photos.invoking import Answer
from scripts.problem import Problem
from scripts.verbs.hosting.predict import _Format, _write
from tests.scripts.conftest import use_endpoint
from tests.scripts.digits_job import SPEC
from tests.scripts.kennel import kennel


def test_folders_are_read_in_order_without_litter(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a/x.txt", ".cache/3.jpg", "a/4.tiff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = listing.pictures([tmp_path / "b" / "2.JPG", tmp_path])
    assert [str(one.relative_to(tmp_path)) for one in found] == ["b/2.JPG", "a/4.tiff", "b/1.png"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(Problem, match="no pictures in this folder"):
        listing.pictures([empty])


def test_a_large_photo_is_shrunk_and_stays_upright(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1800, 1200, 3), np.uint8)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    Image.fromarray(noise).save(file, "JPEG", quality=98, exif=exif)
    data = file.getvalue()
    limit = len(data) // 4
    small = shrink.to_limit(tmp_path / "a.jpg", data, limit)
    assert len(small) <= limit
    width, height = Image.open(io.BytesIO(small)).size
    assert width > height  # 1800 x 1200 after turning
    with pytest.raises(Problem, match="not a picture"):
        shrink.to_limit(tmp_path / "b.jpg", b"x" * 100, 10)


ANSWERS = [
    Answer(
        Path("a/1.jpg"),
        {"labels": ["beagle", "=pug"], "probabilities": [0.75, 0.25], "predicted_label": "beagle"},
    ),
    Answer(Path("-2.jpg"), None, "400 these 10 bytes are not a picture"),
]


def test_all_scores_are_written_as_csv() -> None:
    file = io.StringIO()
    _write(file, _Format.CSV, ANSWERS)
    assert list(csv.reader(io.StringIO(file.getvalue()))) == [
        ["picture", "predicted_label", "error", "beagle", "'=pug"],
        ["a/1.jpg", "beagle", "", "0.75", "0.25"],
        ["'-2.jpg", "", "400 these 10 bytes are not a picture", "", ""],
    ]


def test_all_scores_are_written_as_json_lines() -> None:
    file = io.StringIO()
    _write(file, _Format.JSON_LINES, ANSWERS)
    first, second = map(json.loads, file.getvalue().splitlines())
    assert first["probabilities"] == [0.75, 0.25]
    assert second == {"picture": "-2.jpg", "error": "400 these 10 bytes are not a picture"}


def test_a_photo_is_drawn_with_its_bars(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("COLUMNS", "80")
    photo = tmp_path / "red.png"
    Image.new("RGB", (40, 20), (200, 0, 0)).save(photo)
    drawing.photo_with_scores(photo, [("beagle", 0.75), ("pug", 0.25)])
    output = capsys.readouterr().out
    assert "38;2;200;0;0;48;2;200;0;0m▀" in output
    plain = re.sub(r"\x1b\[[\d;]*m", "", output)
    assert plain.count("▀") == 40 * 10
    assert f"beagle  {'█' * 18}" in plain
    assert "0.750" in plain


def test_where_answers_go_is_checked_before_they_are_paid_for(
    nowhere: None, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"photo")
    for out in (photo / "scores.csv", tmp_path / "folder.csv"):
        (tmp_path / "folder.csv").mkdir(exist_ok=True)
        refused = kennel("predict", "dogs", str(photo), "--out", str(out))
        assert refused.code == 1
        assert f"--out {out}: " in refused.err
        assert "AWS" not in refused.err
    out = tmp_path / "new" / "scores.csv"
    refused = kennel("predict", "dogs", str(photo), "--out", str(out))
    assert "no region" in refused.err
    assert not out.exists()


class LosesItsRights(BaseHTTPRequestHandler):
    """An endpoint that answers for the first fifty photos, and then refuses its caller."""

    def do_POST(self) -> None:
        photo = self.rfile.read(int(self.headers["Content-Length"]))
        body: dict[str, Any] = {"ProductionVariants": []}
        status = 200
        if self.path != "/" and int(photo) < 50:
            body = {"labels": ["a"], "probabilities": [1.0], "predicted_label": "a"}
        elif self.path != "/":
            status, body = 403, {"__type": "AccessDeniedException", "message": "not allowed"}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def test_answers_before_an_error_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "scores.csv"
    photos.mkdir()
    for number in range(100):
        (photos / f"{number:03}.jpg").write_text(str(number))
    with ThreadingHTTPServer(("127.0.0.1", 0), LosesItsRights) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        use_endpoint(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        done = kennel("predict", "dogs", str(photos), "--out", str(out))
        server.shutdown()
        thread.join()
    assert done.code == 1
    assert len(list(csv.DictReader(io.StringIO(out.read_text())))) == 50
    assert f"{out}: 50 of 100 pictures" in done.err


@pytest.fixture
def deployed_digits(tuned: dict[str, Any], emulator: str) -> Iterator[str]:
    name = "digits-predict"
    deployed = kennel("deploy", SPEC, "--job", tuned["best"]["job"], "--name", name)
    assert deployed.code == 0, deployed.err
    yield name
    kennel("down", name)


@pytest.mark.slow
def test_a_folder_is_classified_and_a_bad_picture_loses_nothing(
    deployed_digits: str, few_digits: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(few_digits / "test", photos)
    count = len(list(photos.rglob("*.png")))
    (photos / "0" / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "answers.csv"
    done = kennel("predict", deployed_digits, str(photos), "--out", str(out))
    assert done.code == 1
    assert "broken.png: 400 these 10 bytes are not a picture" in done.err
    assert f"1 of {count + 1} pictures have no answer" in done.err
    assert re.search(rf"\d+ of {count} correct, by the names of their folders", done.err)
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert len(rows) == count + 1
    good = [row for row in rows if not row["error"]]
    assert all(abs(sum(float(row[str(d)]) for d in range(10)) - 1) < 1e-3 for row in good)

    (photos / "1").mkdir(exist_ok=True)
    missing = tmp_path / "first" / "deep.csv"
    again = kennel("predict", deployed_digits, str(photos / "0"), "--out", str(missing))
    assert again.code == 1
    assert missing.exists()

    huge = tmp_path / "huge.bmp"  # 12 MB
    Image.new("RGB", (2000, 2000), (255, 255, 255)).save(huge)
    shrunk = kennel("predict", deployed_digits, str(huge), "--json")
    assert shrunk.code == 0, shrunk.err
    assert "sent a smaller copy" in shrunk.err

"""A bundle answers photos without a server, as `kennel ui` asks it to."""

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from serve import local
from tests.serve.conftest import CLASSES, picture

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine sets torch's threads in this process, also for the tests that follow."""
    monkeypatch.setenv("KENNEL_THREADS", "1")


def asked(given: Path, *requests: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """The exit status and the lines of a process for these requests."""
    lines = io.StringIO("".join(json.dumps(one) + "\n" for one in requests))
    out = io.StringIO()
    code = local.main(given, lines, out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_bundle_answers_in_the_verbose_format_and_a_bad_photo_is_an_error(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KENNEL_ENGINE", "torch")
    photo, bad = tmp_path / "a.jpg", tmp_path / "bad.jpg"
    photo.write_bytes(picture(1))
    bad.write_bytes(b"no picture")
    code, (ready, answer, error, missing, explained) = asked(
        trained / "model",
        {"photo": str(photo)},
        {"photo": str(bad)},
        {"photo": str(tmp_path / "none.jpg")},
        {"photo": str(photo), "explain": True},
    )
    assert code == 0
    assert ready["ready"]["classes"] == len(CLASSES)
    assert ready["ready"]["engine"].startswith("torch in ")
    assert answer["body"]["labels"] == list(CLASSES)
    assert sum(answer["body"]["probabilities"]) == pytest.approx(1)
    assert 0 <= answer["body"]["novelty"] <= 1
    assert answer["milliseconds"] > 0
    assert "heat_map" not in answer["body"]
    assert "not a picture" in error["error"]
    assert "No such file" in missing["error"]
    assert explained["body"]["heat_map"].startswith("data:image/png;base64,")
    assert explained["body"]["heat_map_share"] == pytest.approx(64 / 72)


def test_an_archive_is_unpacked_and_what_is_no_bundle_is_refused(
    trained: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in (trained / "model").iterdir():
            tar.add(path, path.name)
    code, lines = asked(archive)
    assert code == 0
    assert "ready" in lines[0]
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "damaged.tar.gz").write_bytes(archive.read_bytes()[:500])
    shutil.copytree(trained / "model", tmp_path / "broken")
    next((tmp_path / "broken").glob("*.safetensors")).write_bytes(b"no weights")
    for bad in (empty, tmp_path / "damaged.tar.gz", tmp_path / "broken"):
        code, lines = asked(bad)
        assert code == 1
        assert set(lines[0]) == {"error"}

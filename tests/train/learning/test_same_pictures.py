"""The hosts of a job compare their pictures: names, sizes and contents, not names only."""

import shutil
from pathlib import Path

import pytest

from tests.train import multiprocess

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("change", ["nothing", "contents", "name", "class"])
def test_hosts_with_other_pictures_are_refused(
    change: str, few_digits: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(few_digits, tmp_path / "other")
    picture = min((other / "train").rglob("*.png"))
    if change == "contents":  # of the same size
        data = picture.read_bytes()
        picture.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif change == "name":
        picture.rename(picture.with_name("renamed.png"))
    elif change == "class":
        picture.rename(max((other / "train").iterdir()) / "moved.png")
    errors = multiprocess.check_photos(tmp_path, (few_digits, other))
    expected = {
        "nothing": "",
        "contents": "with other contents",
        "name": "different pictures, and each needs all",
        "class": "different pictures, and each needs all",
    }
    assert all(expected[change] in error for error in errors)
    assert all(bool(error) == (change != "nothing") for error in errors)

"""Links do not take files along that are not in the folder of photos, unless the user asks."""

import json
from pathlib import Path

import pytest
from PIL import Image

from pictures import shards
from scripts.photos import links, upload
from tests.scripts.kennel import kennel


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes; links to a secret file, to a folder elsewhere, within the folder, and above."""
    root = tmp_path / "photos"
    for name in ("cat/1.png", "dog/1.png"):
        (root / name).parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("RGB", (9, 9)).save(elsewhere / "private.png")
    (root / "cat" / "secret.png").symlink_to(elsewhere / "private.png")
    (root / "dog" / "relative.png").symlink_to("../../elsewhere/private.png")
    (root / "dog" / "chain.png").symlink_to(root / "cat" / "secret.png")
    (root / "ferret").symlink_to(elsewhere)
    (root / "dog" / "same.png").symlink_to(root / "cat" / "1.png")
    return root


OUTSIDE = ["cat/secret.png", "dog/chain.png", "dog/relative.png", "ferret"]
INSIDE = ["cat/1.png", "dog/1.png", "dog/same.png"]
FOLLOWED = [*INSIDE, *OUTSIDE[:-1], "ferret/private.png"]


def test_an_upload_leaves_out_what_is_elsewhere(photos: Path) -> None:
    address = ("s3://a-bucket/pets", "--dry-run")
    done = kennel("data", "upload", str(photos), *address)
    assert done.code == 0, done.err
    assert f"links in {photos} are not followed: {', '.join(OUTSIDE)}; --follow-links" in done.err
    assert [one["Key"] for one in requests(done.out)] == [f"pets/{name}" for name in INSIDE]
    followed = kennel("data", "upload", str(photos), *address, "--follow-links")
    assert "WARNING" not in followed.err
    assert {one["Key"] for one in requests(followed.out)} == {f"pets/{name}" for name in FOLLOWED}


def requests(out: str) -> list[dict[str, str]]:
    found = json.loads(out)
    return [one.get("parameters", one) for one in (found if isinstance(found, list) else [found])]


def test_packing_leaves_out_what_is_elsewhere(photos: Path, tmp_path: Path) -> None:
    done = kennel("data", "pack", str(photos), str(tmp_path / "shards"))
    assert done.code == 0, done.err
    assert f"are not followed: {', '.join(OUTSIDE)}; --follow-links" in done.err
    assert packed(tmp_path / "shards") == INSIDE
    followed = kennel("data", "pack", str(photos), str(tmp_path / "all"), "--follow-links")
    assert "WARNING" not in followed.err
    assert packed(tmp_path / "all") == sorted(FOLLOWED)


def packed(folder: Path) -> list[str]:
    return sorted(f"{one.folder}/{one.name}" for one in shards.read(folder))


def test_a_folder_of_links_only_is_not_packed(photos: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "cat").symlink_to(photos / "cat")
    done = kennel("data", "pack", str(outer), str(tmp_path / "shards"))
    assert done.code == 1
    assert "has only links to pictures elsewhere: give --follow-links" in done.err


def test_links_to_a_folder_above_end(photos: Path) -> None:
    (photos / "cat" / "loop").symlink_to(photos)
    (photos / "dog" / "loop").symlink_to(photos / "cat")
    found = upload.local_files(photos, follow_links=True)
    assert set(FOLLOWED) < set(found)
    assert not any(name.startswith("cat/loop/") for name in found)
    assert "cat/loop" in links.not_followed(photos)
    assert "cat/loop" not in links.leading_out(photos)


def test_a_folder_that_is_a_link_itself_is_read(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photos)
    assert sorted(upload.local_files(tmp_path / "link")) == INSIDE

"""Copies are found by equal bytes, with little reading, and stay in one part of the split."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from pictures import channels
from pictures.copies import equal
from pictures.picture import DataError, Picture, Splits
from scripts.photos import packing
from tests.pictures.layouts import picture


def photos(root: Path, count: int = 20) -> Path:
    for name in ("cat", "dog"):
        for number in range(count):
            picture(root / name / f"{number}.png")
    return root


def find(root: Path) -> Splits:
    return channels.find({"photos": root}, split_seed=0, valid_fraction=0.15, test_fraction=0.15)


def sides(splits: Splits) -> list[set[str]]:
    """Return the parts that each picture's copies are in."""
    where: dict[bytes, set[str]] = {}
    for part, own in splits.parts().items():
        for one in own:
            where.setdefault(one.read(), set()).add(part)
    return list(where.values())


def test_copies_stay_on_one_side(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    for path in sorted(root.rglob("*.png")):
        shutil.copy(path, path.with_name(f"{path.stem}_copy.png"))
    splits = find(root)
    assert {len(parts) for parts in sides(splits)} == {1}
    assert "copies (equal bytes): 40 groups, each kept in one part" in splits.notes
    packing.pack(root, tmp_path / "shards", seed=0, shard_bytes=20_000)
    packed = find(tmp_path / "shards")
    assert [p.path.name for p in packed.test] == [p.path.name for p in splits.test]


def test_files_that_are_no_pictures_are_no_copies(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.jpg").write_bytes(b"")
            (tmp_path / name / f"{number}.txt").write_bytes(b"x")
    assert find(tmp_path).notes[0].startswith("split off train")


def test_equal_sizes_and_endings_are_not_enough(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        image = Image.new("L", (200, 200))
        image.putpixel((0, 199), number // 2)  # a bitmap begins with its last row
        paths.append(tmp_path / f"{number}.bmp")
        image.save(paths[-1])
    own = [Picture(path, 0, size=path.stat().st_size) for path in paths]
    assert len({one.size for one in own}) == 1
    assert equal.groups(own) == [(own[0], own[1])]


def test_files_of_other_sizes_are_not_read(tmp_path: Path) -> None:
    own = [Picture(tmp_path / "gone" / str(size), 0, size=size) for size in range(1, 100)]
    assert equal.groups(own) == []


def test_a_picture_in_two_classes_is_named_with_both(tmp_path: Path) -> None:
    root = photos(tmp_path)
    for number in (3, 4):
        shutil.copy(root / f"cat/{number}.png", root / f"dog/other{number}.png")
    with pytest.raises(
        DataError, match=r"2 pictures are in two classes .*: cat/3\.png = dog/other3\.png, cat/4"
    ):
        find(root)


def test_a_label_conflict_between_train_and_test_is_one_too(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        photos(tmp_path / part, 3)
    shutil.copy(tmp_path / "train/cat/1.png", tmp_path / "test/dog/9.png")
    with pytest.raises(DataError, match=r"1 picture is in two classes .*cat/1\.png = dog/9\.png"):
        find(tmp_path)

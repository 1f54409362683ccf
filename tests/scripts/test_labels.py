"""`kennel data` with tables of labels and archives, and pictures that need a remark."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures.inputs import png
from tests.scripts.kennel import kennel

NAMES = [f"{number}.png" for number in range(12)]


def breed(number: int) -> str:
    return "pug" if number % 2 else "husky"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """As Kaggle's dog breeds: labels.csv next to flat folders."""
    root = tmp_path / "dogs"
    (root / "train").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        noise = np.random.default_rng(number).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(noise).save(root / "train" / name)
    rows = "".join(f"{number},{breed(number)}\n" for number in range(12))
    (root / "labels.csv").write_text(f"id,breed\n{rows}")
    return root


def zipped(photos: Path) -> Path:
    archive = photos.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(photos.rglob("*")):
            file.write(path, path.relative_to(photos.parent))
    return archive


def test_the_check_reads_labels_from_a_table(photos: Path) -> None:
    found = kennel("data", "check", str(photos))
    assert found.code == 0, found.out
    assert "12 pictures in 2 classes" in found.out
    assert "labels are read from labels.csv: 12 rows, pictures by 'id'" in found.out
    with (photos / "labels.csv").open("a") as file:
        file.write("99,pug\n")
    found = kennel("data", "check", str(photos))
    assert found.code == 1
    assert "99 (line 14): add them, or remove the rows" in found.out + found.err


def test_a_column_can_be_named(photos: Path) -> None:
    text = (photos / "labels.csv").read_text().replace("id,breed", "a,b")
    (photos / "labels.csv").write_text("x," + text.replace("\n", "\n1,").removesuffix("1,"))
    found = kennel("data", "check", str(photos))
    assert "none is known as the picture" in found.out + found.err
    options = ("--picture-column", "a", "--label-column", "b")
    assert kennel("data", "check", str(photos), *options).code == 0
    assert kennel("data", "pack", str(photos), str(photos.parent / "out"), *options).code == 0


def test_shards_of_a_table_have_its_classes(photos: Path) -> None:
    out = photos.parent / "shards"
    done = kennel("data", "pack", str(photos), str(out))
    assert done.code == 0, done.out
    with tarfile.open(out / "00000.tar") as shard:
        assert {name.split("/")[0] for name in shard.getnames()} == {"husky", "pug"}
    found = kennel("data", "check", str(out))
    assert found.code == 0, found.out
    assert "12 pictures in 2 classes" in found.out


@pytest.mark.parametrize("verb", ["check", "upload", "pack"])
def test_an_archive_of_photos_is_unpacked_and_removed(photos: Path, verb: str) -> None:
    archive = zipped(photos)
    before = sorted(photos.parent.iterdir())
    more = {
        "check": (),
        "upload": ("s3://a-bucket/dogs", "--dry-run"),
        "pack": (str(photos.parent / "out"),),
    }[verb]
    done = kennel("data", verb, str(archive), *more)
    assert done.code == 0, done.out + done.err
    assert "12 pictures" in done.out or "dogs/train/11.png" in done.out
    assert sorted(p for p in photos.parent.iterdir() if p.name != "out") == before


def test_an_archive_that_is_refused_is_named(photos: Path) -> None:
    archive = photos.parent / "evil.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../evil.jpg", b"")
    done = kennel("data", "upload", str(archive), "s3://a-bucket/dogs", "--dry-run")
    assert done.code == 1
    assert "evil.zip: the name ../../evil.jpg leaves the folder" in done.out + done.err
    assert sorted(path.name for path in photos.parent.iterdir()) == ["dogs", "evil.zip"]


def test_pictures_that_are_read_with_an_assumption_are_counted(photos: Path) -> None:
    for number in (0, 2, 4):
        dark = np.random.default_rng(number).integers(0, 4096, (20, 20, 1), np.uint16)
        (photos / "train" / NAMES[number]).write_bytes(png(dark, 0, 16))
    found = kennel("data", "check", str(photos))
    assert found.code == 0
    assert "WARNING: 3 pictures" in found.out
    assert "use 12 of 16 bits and nothing in the file says so" in found.out
    assert kennel("data", "check", str(photos), "--strict").code == 1


def test_init_names_the_table_and_the_archive(photos: Path, tmp_path: Path) -> None:
    note = "labels are read from labels.csv: 12 rows, pictures by 'id', labels by 'breed'"
    for given, is_archive in ((photos, False), (zipped(photos), True)):
        out = tmp_path / f"{given.name}.toml"
        done = kennel("init", str(given), "--emulator", "--out", str(out))
        assert done.code == 0, done.err
        assert note in done.err
        assert f"# {note}\n" in out.read_text()
        assert ("it unpacks the archive" in out.read_text()) is is_archive
        assert ("in an archive" in done.err) is is_archive

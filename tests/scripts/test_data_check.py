"""`kennel data check` on folders of real pictures: it has the job's verdict, and says why."""

import random
from pathlib import Path

import pytest
from PIL import Image

from pictures import checks
from pictures.copies import near as near_copies
from pictures.picture import DataError
from scripts.make import digits
from scripts.photos import upload
from tests.scripts.kennel import kennel
from tests.scripts.pets import scene, write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six different pictures of two classes, in train and test."""
    return write(tmp_path)


def test_photos_without_problems_pass(photos: Path) -> None:
    (photos / "train" / "cat" / ".DS_Store").write_text("")
    found = kennel("data", "check", str(photos))
    assert found.code == 0, found.out
    assert "6 pictures in 2 classes" in found.out
    assert found.out.rstrip().endswith("no problems found")
    counts = checks.check(photos).counts()
    assert {name: dict(count) for name, count in counts.items()} == {
        "cat": {"train": 1, "valid": 1, "test": 1},
        "dog": {"train": 1, "valid": 1, "test": 1},
    }
    assert "split off train, by split_seed 0: 2 valid" in found.out
    assert "passed over: left by other tools: 1 (train/cat/.DS_Store)" in found.out


def test_every_problem_is_named_and_fails_the_check(photos: Path) -> None:
    (photos / "train/cat/2.jpg").write_bytes((photos / "train/cat/2.jpg").read_bytes()[:400])
    (photos / "test/cat/1.jpg").write_bytes((photos / "train/cat/1.jpg").read_bytes())
    for number in range(3, 12):
        scene(number + 50).save(photos / f"train/dog/{number}.jpg")
    (photos / "train/dog/12.jpg").write_bytes((photos / "train/dog/1.jpg").read_bytes())
    (photos / "train/dog/empty.jpg").touch()
    (photos / "train/dog/note.txt").write_text("a dog")
    found = kennel("data", "check", str(photos))
    assert found.code == 1
    for line in (
        "unreadable: train/cat/2.jpg: ",
        "unreadable: train/dog/empty.jpg: the picture is empty (0 bytes)",
        "unreadable: train/dog/note.txt: these 5 bytes are not a picture",  # training's words
        "duplicates: train/cat/1.jpg, test/cat/1.jpg",
        "duplicates: train/dog/1.jpg, train/dog/12.jpg",
        "WARNING: pictures that test shares with train (equal bytes): 1 (",
        "WARNING: leak: train/cat/1.jpg is in test and train",
        "WARNING: unbalanced: dog has ",
        "the job would fail: 3 of 18 pictures cannot be read, 1 are allowed (max_unreadable)",
    ):
        assert line in found.out
    assert found.out.count("WARNING: leak") == 1
    assert "train" in found.out


def test_what_the_job_only_reports_fails_a_strict_check_alone(photos: Path) -> None:
    (photos / "test/cat/1.jpg").write_bytes((photos / "train/cat/1.jpg").read_bytes())
    found = kennel("data", "check", str(photos))
    assert found.code == 0
    assert "WARNING: leak: train/cat/1.jpg is in test and train" in found.out
    assert kennel("data", "check", str(photos), "--strict").code == 1


def test_the_check_takes_the_jobs_hyperparameters(photos: Path, tmp_path: Path) -> None:
    (photos / "train/dog/3.jpg").write_bytes(b"no picture")
    (photos / "train/dog/4.jpg").write_bytes(b"no picture either")
    assert kennel("data", "check", str(photos)).code == 1
    assert kennel("data", "check", str(photos), "--max-unreadable", "0.5").code == 0
    spec = tmp_path / "pets.toml"
    spec.write_text(
        (ROOT / "experiments/digits.toml")
        .read_text()
        .replace("[hyperparameters]", "[hyperparameters]\nmax_unreadable = 0.5\nsplit_seed = 7")
    )
    found = kennel("data", "check", str(photos), "--spec", str(spec))
    assert found.code == 0, found.out + found.err
    assert "by split_seed 7" in found.out


def test_parts_in_folders_of_their_own_are_checked_together(photos: Path) -> None:
    folders = (str(photos / "train"), "--test", str(photos / "test"))
    found = kennel("data", "check", *folders)
    assert found.code == 0, found.err
    assert "6 pictures in 2 classes" in found.out
    assert "2 valid" in found.out
    same = kennel("data", "check", str(photos / "train"), "--valid", str(photos / "train"))
    assert (same.code, "are the same folder" in same.err) == (1, True)


def test_impossible_hyperparameters_are_refused(photos: Path) -> None:
    found = kennel(
        "data", "check", str(photos), "--valid-fraction", "0.6", "--test-fraction", "0.6"
    )
    assert found.code == 1
    assert "valid_fraction and test_fraction together must leave 0.1 for train" in found.err


def test_links_that_an_upload_leaves_out_are_named(photos: Path) -> None:
    (photos / "train/cat/9.jpg").symlink_to(photos / "test/cat/1.jpg")
    assert "leaves out links" not in kennel("data", "check", str(photos)).out
    found = kennel("data", "check", str(photos / "train"))
    assert "`kennel data upload` leaves out links (cat/9.jpg)" in found.out


def test_similar_pictures_stay_together_once_they_are_saved(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            scene(100 * (name == "dog") + number % 4).resize((160 + number, 120)).save(
                root / name / f"{number}.png"
            )
    before = kennel("data", "check", str(root))
    assert before.code == 0
    assert "WARNING: leak" in before.out
    assert "--save writes a file" in before.out
    saved = kennel("data", "check", str(root), "--save")
    assert "near-copies.json: 8 groups of similar pictures" in saved.out.replace("\n", " ")
    after = kennel("data", "check", str(root))
    assert "leak" not in after.out
    assert "passed over" not in after.out
    assert "near-copies.json" in upload.local_files(root)
    (root / "near-copies.json").write_text("[")
    broken = kennel("data", "check", str(root))
    assert broken.code == 1
    assert "near-copies.json is not a file of near copies" in broken.err.replace("\n", " ")


def test_class_folders_alone_count_as_train(photos: Path) -> None:
    found = checks.check(photos / "train")
    assert (found.splits.folders, found.splits.made) == (("cat", "dog"), ("valid", "test"))
    with pytest.raises(DataError, match=r"no class folders in .*2 pictures lie in it without a cl"):
        checks.check(photos / "train" / "cat")
    with pytest.raises(DataError, match="is not a folder"):
        checks.check(photos / "nowhere")


def test_alike_pictures_are_found_however_they_are_joined() -> None:
    chance = random.Random(0)  # noqa: S311
    looks = [chance.getrandbits(64) for _ in range(300)]
    near = looks[7] ^ 0b1011 << 20
    nearer_still = near ^ 1 << 63 | 1 << 2
    assert list(near_copies.groups([*looks, near, nearer_still])) == [(7, 300, 301)]


def test_a_scaled_and_recompressed_copy_in_another_split_is_a_leak(photos: Path) -> None:
    with Image.open(photos / "train/dog/1.jpg") as picture:
        picture.resize((320, 240)).save(photos / "test/dog/2.jpg", quality=60)
    found = checks.check(photos)
    assert found.near_checked
    assert found.copies == ()
    assert [{f"{one.split}/{one.path.name}" for one in group} for group in found.leaks] == [
        {"valid/1.jpg", "test/2.jpg"}
    ]


def test_pictures_too_small_for_a_hash_are_not_called_alike(tmp_path: Path) -> None:
    digits.write(tmp_path, limit=400)
    found = checks.check(tmp_path)
    assert found.alike == ()
    assert found.leaks == ()

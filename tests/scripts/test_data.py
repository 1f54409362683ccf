"""`kennel data`, on folders of real pictures and a real S3 server."""

import hashlib
import io
import json
import os
import random
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from PIL import Image

from pictures import channels, checks
from pictures.copies import near as near_copies
from pictures.picture import DataError
from scripts.aws.client import Aws, AwsProblem
from scripts.make import digits
from scripts.photos import upload
from tests.scripts.conftest import REGION
from tests.scripts.kennel import kennel

ROOT = Path(__file__).parents[2]


def scene(seed: int) -> Image.Image:
    """A picture with structure; each seed gives a different one."""
    chance = random.Random(seed)  # noqa: S311
    small = Image.new("RGB", (8, 8))
    small.putdata([tuple(chance.randrange(256) for _ in "rgb") for _ in range(64)])
    return small.resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six different pictures of two classes, in train and test."""
    for seed, place in enumerate(
        ["train/cat/1", "train/cat/2", "train/dog/1", "train/dog/2", "test/cat/1", "test/dog/1"]
    ):
        file = tmp_path / f"{place}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        scene(seed).save(file)
    return tmp_path


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


@pytest.fixture
def bucket(moto: str, request: pytest.FixtureRequest) -> str:
    name = "b-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def keys(bucket: str) -> dict[str, bytes]:
    client = boto3.client("s3")
    listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {
        one["Key"]: client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        for one in listed
    }


def test_packed_photos_are_uploaded_unchanged_and_train_like_the_folder(
    photos: Path, bucket: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (photos / "train" / "empty").mkdir()
    out = tmp_path_factory.mktemp("packed") / "shards"
    found = kennel("data", "pack", str(photos), str(out))
    assert found.code == 0, found.out
    assert f"{out}: 6 pictures" in found.out.replace("\n", " ")
    assert "in 2 shards" in found.out
    assert "skipped class folders without pictures: train/empty" in found.err
    files = ["test/00000.tar", "test/index.json", "train/00000.tar", "train/index.json"]
    assert sorted(upload.local_files(out)) == files
    sent = kennel("data", "upload", str(out), f"s3://{bucket}/packed")
    assert sent.code == 0, sent.out
    client = boto3.client("s3", region_name=REGION)
    body = client.get_object(Bucket=bucket, Key="packed/train/00000.tar")["Body"].read()
    assert body == (out / "train" / "00000.tar").read_bytes()
    splits = channels.find({"data": out}, split_seed=0, valid_fraction=0.5, test_fraction=0)
    assert splits.folders == ("cat", "dog")
    looked = kennel("data", "check", str(out))
    assert looked.code == 0, looked.out
    assert "6 pictures in 2 classes" in looked.out
    twice = kennel("data", "pack", str(out), str(out.parent / "again"))
    assert twice.code == 1
    assert "holds packed shards: give the folder they were made from" in twice.err
    again = kennel("data", "pack", str(photos), str(out))
    assert again.code == 1
    assert "not empty: give a new folder" in again.err


def test_an_upload_has_every_file_and_its_checksum(photos: Path, bucket: str) -> None:
    (photos / "train" / "Thumbs.db").touch()
    done = kennel("data", "upload", str(photos), f"s3://{bucket}/pets")
    assert done.code == 0, done.err
    there = keys(bucket)
    manifest = json.loads(there.pop("pets/manifest.json"))["sha256"]
    local = {file.relative_to(photos).as_posix(): file for file in photos.rglob("*.jpg")}
    assert {key.removeprefix("pets/") for key in there} == set(local)
    for name, file in local.items():
        assert there[f"pets/{name}"] == file.read_bytes()
        assert manifest[name] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_names_that_fail_in_the_job_are_not_uploaded(photos: Path, nowhere: None) -> None:
    address = ("s3://a-bucket/pets", "--dry-run")
    scene(1).save(photos / "train/cat/a\\b.png")
    done = kennel("data", "upload", str(photos), *address)
    assert (done.code, "with a backslash: train/cat/a\\b.png" in done.err) == (1, True)
    (photos / "train/cat/a\\b.png").unlink()
    (photos / "train/cat/1.jpg").rename(os.fsdecode(os.fsencode(photos) + b"/train/cat/\xe9.jpg"))
    done = kennel("data", "upload", str(photos), *address)
    assert (done.code, "names in" in done.err, "not UTF-8" in done.err) == (1, True, True)


def test_what_an_upload_passes_over_is_named(photos: Path, nowhere: None) -> None:
    (photos / "train/cat/Thumbs.db").touch()
    (photos / "train/cat/gone.jpg").symlink_to("nowhere")
    (photos / "train/cat/self.jpg").symlink_to("self.jpg")
    (photos / "manifest.json").write_text("{}")
    done = kennel("data", "upload", str(photos), "s3://a-bucket/pets", "--dry-run")
    assert done.code == 0
    assert len(json.loads(done.out)) == 6
    assert done.err == (
        "passed over: left by other tools: 1 (train/cat/Thumbs.db); links that lead nowhere: 2 "
        "(train/cat/gone.jpg, train/cat/self.jpg)\n"
    )


def test_a_second_upload_sends_only_what_changed(photos: Path, bucket: str) -> None:
    address = f"s3://{bucket}/pets/"
    kennel("data", "upload", str(photos), address)
    assert upload.plan(Aws(REGION), photos, address).send == {}
    scene(20).save(photos / "train/cat/1.jpg")
    (photos / "train/dog/2.jpg").unlink()
    scene(21).save(photos / "train/dog/3.jpg")
    boto3.client("s3").put_object(Bucket=bucket, Key="pets/test/dog/1.jpg", Body=b"overwritten")
    todo = upload.plan(Aws(REGION), photos, address)
    assert set(todo.send) == {"train/cat/1.jpg", "train/dog/3.jpg", "test/dog/1.jpg"}
    assert todo.extra == ("train/dog/2.jpg",)
    done = kennel("data", "upload", str(photos), address)
    assert "3 files are up to date, 3 to upload" in done.err
    assert "not deleted: train/dog/2.jpg" in done.err


def test_an_interrupted_upload_continues(photos: Path, bucket: str) -> None:
    aws = Aws(REGION)
    address = f"s3://{bucket}/pets"
    lost = photos / "train/dog/2.jpg"
    todo = upload.plan(aws, photos, address)
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(FileNotFoundError):
        upload.run(aws, todo)
    lost.write_bytes(content)
    again = upload.plan(aws, photos, address)
    assert "train/dog/2.jpg" in again.send
    upload.run(aws, again)
    assert upload.plan(aws, photos, address).send == {}


def test_an_invalid_manifest_is_ignored(photos: Path, bucket: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key="manifest.json", Body=io.BytesIO(b"[1]"))
    assert len(upload.plan(Aws(REGION), photos, f"s3://{bucket}").send) == 6


def test_a_missing_bucket_is_named(photos: Path, moto: str) -> None:
    with pytest.raises(AwsProblem) as caught:
        upload.plan(Aws(REGION), photos, "s3://no-such-bucket-here/pets")
    assert caught.value.missing
    assert "no-such-bucket-here" in str(caught.value)


def test_a_dry_run_names_every_object_and_needs_no_credentials(photos: Path, nowhere: None) -> None:
    done = kennel("data", "upload", str(photos), "s3://a-bucket/pets", "--dry-run")
    assert done.code == 0
    sent = json.loads(done.out)
    assert len(sent) == 6
    assert sent[0]["parameters"]["Key"] == "pets/test/cat/1.jpg"

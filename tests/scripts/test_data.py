"""`kennel data`, on folders of real pictures and a real S3 server."""

import hashlib
import io
import json
import random
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from PIL import Image

from pictures import channels, checks
from pictures.picture import DataError
from scripts.aws.client import Aws, AwsProblem
from scripts.make import digits
from scripts.photos import upload
from tests.scripts.conftest import REGION
from tests.scripts.kennel import kennel


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
        "cat": {"train": 2, "test": 1},
        "dog": {"train": 2, "test": 1},
    }


def test_every_problem_is_named_and_fails_the_check(photos: Path) -> None:
    (photos / "train/cat/2.jpg").write_bytes((photos / "train/cat/2.jpg").read_bytes()[:400])
    (photos / "test/cat/1.jpg").write_bytes((photos / "train/cat/1.jpg").read_bytes())
    (photos / "train/dog/3.jpg").write_bytes((photos / "train/dog/1.jpg").read_bytes())
    (photos / "train/dog/empty.jpg").touch()
    (photos / "train/dog/note.txt").write_text("a dog")
    (photos / "test/ferret").mkdir()
    scene(9).save(photos / "test/ferret/1.png")
    found = kennel("data", "check", str(photos))
    assert found.code == 1
    for line in (
        "unreadable: train/cat/2.jpg: ",
        "unreadable: train/dog/empty.jpg: the picture is empty (0 bytes)",
        "unreadable: train/dog/note.txt: these 5 bytes are not a picture",  # training's words
        "duplicates: test/cat/1.jpg, train/cat/1.jpg",
        "duplicates: train/dog/1.jpg, train/dog/3.jpg",
        "leak: test/cat/1.jpg is in test and train",
        "test has classes that train lacks: ferret",
        'unbalanced: dog has 3 pictures and cat 1: consider hyperparameters.class_weights = "balan',
    ):
        assert line in found.out
    assert found.out.count("leak") == 1


def test_class_folders_alone_count_as_train(photos: Path) -> None:
    assert {one.split for one in checks.check(photos / "train").photos} == {"train"}
    with pytest.raises(DataError, match="no pictures in class folders"):
        checks.check(photos / "train" / "cat")
    with pytest.raises(DataError, match="is not a folder"):
        checks.check(photos / "nowhere")


def test_alike_pictures_are_found_however_they_are_joined() -> None:
    chance = random.Random(0)  # noqa: S311
    looks = [chance.getrandbits(64) for _ in range(300)]
    near = looks[7] ^ 0b1011 << 20
    nearer_still = near ^ 1 << 63 | 1 << 2
    photos = [
        checks.Photo(Path(str(place)), "train", "cat", hash=look)
        for place, look in enumerate([*looks, near, nearer_still])
    ]
    groups = [{int(str(one.path)) for one in group} for group in checks._alike(photos)]
    assert groups == [{7, 300, 301}]


def test_a_scaled_and_recompressed_copy_in_another_split_is_a_leak(photos: Path) -> None:
    with Image.open(photos / "train/dog/1.jpg") as picture:
        picture.resize((320, 240)).save(photos / "test/dog/2.jpg", quality=60)
    found = checks.check(photos)
    assert found.near_checked
    assert found.copies == ()
    assert [{f"{one.split}/{one.path.name}" for one in group} for group in found.leaks] == [
        {"train/1.jpg", "test/2.jpg"}
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
    assert "skipped a class folder without pictures: train/empty" in found.err
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
    assert looked.code == 1
    assert "holds packed shards: give the folder that they were made from" in looked.err
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

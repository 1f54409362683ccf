"""`kennel data`, on folders of real pictures and a real S3 server."""

import hashlib
import io
import json
import os
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from pictures import channels
from scripts.aws.client import Aws, AwsProblem
from scripts.photos import upload
from tests.scripts.conftest import REGION
from tests.scripts.kennel import kennel
from tests.scripts.pets import scene, write


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six different pictures of two classes, in train and test."""
    return write(tmp_path)


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

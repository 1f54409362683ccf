"""Channels that a manifest lists: their objects are in the channel, without the prefix."""

import json

import pytest

from tests.emulator.client import BUCKET, Emulator, refused

pytestmark = pytest.mark.slow


def channel(kind: str, key: str) -> dict[str, object]:
    source = {"S3DataType": kind, "S3Uri": f"s3://{BUCKET}/{key}"}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}}


def test_the_objects_of_a_manifest_are_the_channel(emulator: Emulator) -> None:
    for key in ("set/cat/1.jpg", "set/dog/2.jpg", "set/dog/3.jpg"):
        emulator.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    manifest = [{"prefix": f"s3://{BUCKET}/set/"}, "cat/1.jpg", "dog/3.jpg", "dog/3.jpg"]
    emulator.s3.put_object(Bucket=BUCKET, Key="lists/two", Body=json.dumps(manifest).encode())
    emulator.train("listed", InputDataConfig=[channel("ManifestFile", "lists/two")])
    assert emulator.ended("listed")["TrainingJobStatus"] == "Completed"
    assert "channel train: ['cat/1.jpg', 'dog/3.jpg']" in emulator.lines("listed")


@pytest.mark.parametrize(
    ("name", "manifest", "message"),
    [
        ("no-json", b"photos/", "is not JSON"),
        ("no-prefix", b'["a"]', "does not begin with its prefix"),
        ("bad-prefix", b'[{"prefix": "/etc/"}, "passwd"]', "does not begin with s3://"),
        ("no-names", f'[{{"prefix": "s3://{BUCKET}/"}}]'.encode(), "entries are no names"),
        ("gone", f'[{{"prefix": "s3://{BUCKET}/"}}, "gone.jpg"]'.encode(), "no object at"),
        ("leaves", f'[{{"prefix": "s3://{BUCKET}/leaves"}}, "/../x"]'.encode(), "no object|leads"),
    ],
)
def test_a_manifest_that_is_wrong_fails_the_job(
    emulator: Emulator, name: str, manifest: bytes, message: str
) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key=f"lists/{name}", Body=manifest)
    emulator.s3.put_object(Bucket=BUCKET, Key="leaves/../x", Body=b"x")
    emulator.train(name, InputDataConfig=[channel("ManifestFile", f"lists/{name}")])
    reason = emulator.ended(name)["FailureReason"]
    assert any(part in reason for part in message.split("|")), reason


def test_an_augmented_manifest_needs_pipe_mode_as_in_sagemaker(emulator: Emulator) -> None:
    source = {
        "S3DataType": "AugmentedManifestFile",
        "S3Uri": f"s3://{BUCKET}/x.manifest",
        "AttributeNames": ["source-ref", "label"],
    }
    request = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    _, message = refused(emulator.train, "augmented", InputDataConfig=[request])
    assert "can only be used if the channel's input mode is Pipe" in message
    assert "next to its pictures" in message

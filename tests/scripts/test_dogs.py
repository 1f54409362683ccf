"""The first user's experiment with a small network, on real photos."""

import json
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from tests.scripts.digits_job import changes
from tests.scripts.kennel import kennel

DOGS = str(Path(__file__).parents[2] / "experiments" / "dogs.toml")
BUCKET = "kennel-111122223333"
PHOTOS = {"train": 8, "valid": 4, "test": 1}  # per breed
SMALL: dict[str, object] = {
    "hyperparameters.architecture": "resnet18",
    "hyperparameters.image_size": 128,
    "hyperparameters.workers": 0,
    "hyperparameters.export": "none",
    "tuning.ranges": "{learning_rate=[0.001, 0.1], batch_size=[32], epochs=[1]}",
    "tuning.parallel": 1,
    "data.pretrained": f"s3://{BUCKET}/weights",
    "debugger.enabled": "false",
    "profiler.enabled": "false",
}


@pytest.mark.slow
def test_a_grid_on_real_photos(real_data: Path, emulator: str, tmp_path: Path) -> None:
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    folder = tmp_path / "dogs"
    for split, count in PHOTOS.items():
        for breed in sorted((real_data / "dogs" / split).iterdir()):
            (folder / split / breed.name).mkdir(parents=True)
            for photo in sorted(breed.iterdir())[:count]:
                (folder / split / breed.name / photo.name).symlink_to(photo)
    uploaded = kennel("data", "upload", "--follow-links", str(folder), f"s3://{BUCKET}/dogs/data")
    assert uploaded.code == 0, uploaded.err
    weights = real_data / "weights" / "resnet18-imagenet-fp16.pth"
    boto3.client("s3").upload_file(str(weights), BUCKET, "weights/resnet18.pth")

    tuned = kennel("tune", DOGS, *changes(SMALL))
    assert tuned.code == 0, tuned.err
    assert "2 training jobs, 1 x ml.g5.xlarge" in tuned.err
    found = json.loads(kennel("best", tuned.out.splitlines()[0], "--json").out)
    trials = found["trials"]
    assert [one["status"] for one in trials] == ["Completed"] * 2
    assert {one["hyperparameters"]["learning_rate"] for one in trials} == {0.001, 0.1}
    assert found["objective"] == "validation:accuracy"
    best = max(one["value"] for one in trials)
    assert found["best"]["job"] in [one["job"] for one in trials if one["value"] == best]

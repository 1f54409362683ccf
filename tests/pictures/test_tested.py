"""Going on from a bundle: the pictures that it was tested with are not trained on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from classifier import bundle
from pictures import channels, tested
from pictures.picture import DataError, Splits
from tests.pictures.layouts import picture
from tests.train.recorded import Recorded


def photos(root: Path, count: int) -> Path:
    for name in ("cat", "dog"):
        for number in range(count):
            if not (root / name / f"{number}.png").exists():
                picture(root / name / f"{number}.png")
    return root


def find(
    root: Path, record: object = None, *, split_seed: int = 0, test_fraction: float = 0.15
) -> Splits:
    return channels.find(
        {"photos": root},
        split_seed=split_seed,
        valid_fraction=0.15,
        test_fraction=test_fraction,
        tested=tested.from_record(json.loads(json.dumps(record))),
    )


def test_test_pictures_stay_where_they_were_with_more_photos_and_smaller_shares(
    tmp_path: Path,
) -> None:
    before = find(photos(tmp_path, 40))
    record = tested.record(before)
    after = find(photos(tmp_path, 60), record, test_fraction=0.01)
    assert set(before.test) <= set(after.test)
    assert not set(before.test) & {*after.train, *after.valid}
    assert f"{len(before.test)} test pictures of the bundle stay test pictures" in after.notes
    without = find(tmp_path, test_fraction=0.01)
    assert set(before.test) & {*without.train, *without.valid}


def test_another_split_seed_is_refused(tmp_path: Path) -> None:
    record = tested.record(find(photos(tmp_path, 10), split_seed=3))
    with pytest.raises(DataError, match=r"by split_seed 3, this job by 0: .*set split_seed=3"):
        find(tmp_path, record)
    assert find(tmp_path, record, split_seed=3)


def test_test_pictures_that_were_moved_into_a_train_folder_are_reported(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        photos(tmp_path / part, 6)
    before = find(tmp_path)
    record = tested.record(before)
    assert not [note for note in find(tmp_path, record).notes if "bundle" in note]
    moved = before.test[0].path
    moved.rename(tmp_path / "train" / "cat" / "new.png")
    again = find(tmp_path, record)
    assert "WARNING: 1 pictures that the bundle was tested with are in train" in again.notes[-1]


def test_a_class_of_tested_pictures_alone_cannot_be_trained(tmp_path: Path) -> None:
    before = find(photos(tmp_path, 10))
    record = tested.record(replace(before, test=(*before.train, *before.valid, *before.test)))
    with pytest.raises(DataError, match=r"no picture in .* can be spared for validation"):
        find(tmp_path, record)


@pytest.mark.parametrize("damaged", [None, [], {}, {"tested": 1}, {"tested": "?", "split_seed": 0}])
def test_a_bundle_without_a_record_is_like_other_weights(damaged: object) -> None:
    assert tested.from_record(damaged) is None


@pytest.mark.slow
def test_a_job_goes_on_from_a_bundle_and_keeps_its_test_pictures(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", 20)
    quiet = {"debugger": False, "profiler": False, "epochs": 1, "batch_size": 8}
    first = Recorded.lay_out(tmp_path / "first", root, **quiet).run()
    before = find(root)
    photos(root, 30)
    second = Recorded.lay_out(tmp_path / "second", root, **quiet, test_fraction=0.02)
    settings = {**second.job.hyperparameters, "weights": "pretrained"}
    channels_ = {**second.job.channels, "pretrained": first.job.model_dir}
    job = replace(second.job, hyperparameters=settings, channels=channels_)
    Recorded(job).run()
    description = bundle.load(job.model_dir).description
    record = tested.from_record(description.training["split"])
    assert record
    assert set(before.test) == set(record.among(before.test, before.folders))
    with pytest.raises(DataError, match="set split_seed=0"):
        Recorded(replace(job, hyperparameters=settings | {"split_seed": 1})).run()

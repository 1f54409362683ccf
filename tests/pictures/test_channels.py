"""Pictures are found in every usual layout of channels, split repeatably, or refused clearly."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from pictures.channels import find
from pictures.folders import display_names
from pictures.picture import DataError, Splits

DOGS = ("001.Affenpinscher", "002.Afghan_hound", "003.Airedale")


def photos(root: Path, count: int, folders: tuple[str, ...] = DOGS) -> Path:
    """Write class folders of files that are counted but never opened."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(count):
            (root / folder / f"{number:03d}.jpg").write_bytes(b"x")
    return root


def find_all(**channels: Path) -> Splits:
    return find(channels, split_seed=1, valid_fraction=0.2, test_fraction=0.1)


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("train", "valid", "test"),
        ("training", "validation", "testing"),
        ("train", "val", "test"),
        ("Train", "VALID", "Test"),
        ("training_set", "val-set", "test.set"),
        ("trainData", "validationData", "testData"),
    ],
)
def test_channels_can_have_any_usual_name(
    train: str, valid: str, test: str, tmp_path: Path
) -> None:
    splits = find_all(
        **{
            train: photos(tmp_path / "a", 5),
            valid: photos(tmp_path / "b", 2),
            test: photos(tmp_path / "c", 1),
        }
    )
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [15, 6, 3]
    assert splits.folders == DOGS
    assert splits.classes == ("Affenpinscher", "Afghan_hound", "Airedale")
    assert [picture.label for picture in splits.test] == [0, 1, 2]


@pytest.mark.parametrize("inner", ["", "dogImages"])
@pytest.mark.parametrize("channel", ["train", "training", "dogs"])
def test_one_channel_can_hold_the_folders_of_all_splits(
    channel: str, inner: str, tmp_path: Path
) -> None:
    for name, count in (("train", 4), ("valid", 2), ("test", 1)):
        photos(tmp_path / inner / name, count)
    splits = find_all(**{channel: tmp_path})
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [12, 6, 3]


def test_train_alone_is_split_by_class_and_repeatably(tmp_path: Path) -> None:
    splits = find_all(train=photos(tmp_path, 20))
    for part in splits.parts().values():
        assert Counter(picture.label for picture in part).keys() == {0, 1, 2}
    everything = [p.path for p in (*splits.train, *splits.valid, *splits.test)]
    assert len(everything) == len(set(everything)) == 60
    assert splits == find_all(train=tmp_path)
    other = find({"train": tmp_path}, split_seed=2, valid_fraction=0.2, test_fraction=0.1)
    assert other.valid != splits.valid


def test_train_gives_up_a_validation_part_if_only_valid_is_missing(tmp_path: Path) -> None:
    splits = find_all(train=photos(tmp_path / "a", 10), test=photos(tmp_path / "b", 3))
    assert len(splits.train) + len(splits.valid) == 30
    assert {picture.label for picture in splits.valid} == {0, 1, 2}
    assert (len(splits.test), splits.made) == (9, ("valid",))


def test_train_and_valid_need_no_test(tmp_path: Path) -> None:
    splits = find_all(train=photos(tmp_path / "a", 3), valid=photos(tmp_path / "b", 1))
    assert splits.test == ()


def test_files_of_any_suffix_and_depth_count_and_hidden_ones_do_not(tmp_path: Path) -> None:
    photos(tmp_path, 3)
    (tmp_path / DOGS[0] / "more").mkdir()
    (tmp_path / DOGS[0] / "more" / "SHOUTED.JPEG").write_bytes(b"x")
    (tmp_path / DOGS[0] / "no-suffix").write_bytes(b"x")
    for hidden in (".ipynb_checkpoints", "__MACOSX"):
        (tmp_path / hidden).mkdir()
        (tmp_path / hidden / "x.jpg").write_bytes(b"x")
    (tmp_path / DOGS[1] / ".DS_Store").write_bytes(b"x")
    splits = find_all(train=tmp_path)
    total = Counter(p.label for p in (*splits.train, *splits.valid, *splits.test))
    assert total == {0: 5, 1: 3, 2: 3}


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("001.Affenpinscher", "133.Yorkie"), ("Affenpinscher", "Yorkie")),
        (("n02086240-Shih-Tzu", "n02115641-Dingo"), ("Shih-Tzu", "Dingo")),
        (("0", "1", "2"), ("0", "1", "2")),
        (
            ("1.dog", "2.dog"),
            ("1.dog", "2.dog"),
        ),  # equal without their numbers, so the numbers stay
        (("Old_English_sheepdog", "3 Beagle"), ("Old_English_sheepdog", "Beagle")),
    ],
)
def test_display_names_have_no_numbers_or_ids(
    folders: tuple[str, ...], names: tuple[str, ...]
) -> None:
    assert display_names(folders) == names


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    photos(tmp_path, 2)
    (tmp_path / "004.Akita").mkdir()
    with pytest.raises(DataError, match=r"without a picture in .*004\.Akita: add pictures or rem"):
        find_all(train=tmp_path)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one class only \(dogs\).*at least two"):
        find_all(train=photos(tmp_path, 5, ("dogs",)))


def test_a_class_that_train_does_not_have_is_refused(tmp_path: Path) -> None:
    train = photos(tmp_path / "a", 3)
    valid = photos(tmp_path / "b", 1, (*DOGS, "004.Akita"))
    with pytest.raises(DataError, match=r"\(valid\) that train does not have: 004\.Akita"):
        find_all(train=train, valid=valid)


def test_a_class_missing_from_a_channel_is_noted(tmp_path: Path) -> None:
    splits = find_all(train=photos(tmp_path / "a", 3), valid=photos(tmp_path / "b", 1, DOGS[:2]))
    assert "valid has no pictures of 003.Airedale" in splits.notes[0]
    assert {picture.label for picture in splits.valid} == {0, 1}


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({}, "the channels are none"),
        ({"cats": "a", "dogs": "b"}, "the channels are cats, dogs; name one `train`"),
        ({"train": "a", "training": "b"}, "train and training are both for train"),
        ({"Train": "a", "train_set": "b"}, "Train and train_set are both for train"),
        (
            {"train": "a", "eval": "b"},
            "channel eval next to train is none that Ken",
        ),
        (
            {"train": "a", "dev": "b"},
            r"channel dev next to .* are train: train, training; v",
        ),
        ({"train": "a", "test": "b", "extra": "b"}, "channel extra next to test, train"),
        ({"train": "a", "Pretrained": "b"}, "channel Pretrained next to train is none"),
        ({"test": "a"}, "no training pictures: the channels are test"),
        ({"valid": "a", "test": "b"}, "no training pictures: the channels are valid, test"),
        ({"train": "a", "valid": "a"}, "channels train and valid are the same folder"),
        (
            {"train": "a", "valid": "copy"},
            "train and valid hold the same 3 pictures, as when",
        ),
        ({"train": "outer", "valid": "b"}, "holds the folders train, valid and not classes: give"),
        ({"train": "nowhere"}, "nowhere is not a folder"),
        ({"train": "empty"}, "no class folders in .*empty"),
    ],
)
def test_unusable_channels_are_explained(
    channels: dict[str, str], message: str, tmp_path: Path
) -> None:
    photos(tmp_path / "a", 1)
    photos(tmp_path / "b", 2)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    for split in ("train", "valid"):
        shutil.copytree(tmp_path / "a", tmp_path / "outer" / split)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        find_all(**{name: tmp_path / folder for name, folder in channels.items()})


def test_channels_that_are_no_pictures_are_left_alone(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    splits = find_all(train=photos(tmp_path / "a", 5), pretrained=weights, model=weights)
    assert len(splits.folders) == 3


def test_what_is_passed_over_is_named_once_for_all_channels(tmp_path: Path) -> None:
    train, valid = photos(tmp_path / "train", 5), photos(tmp_path / "valid", 2)
    (train / DOGS[0] / "Thumbs.db").write_bytes(b"x")
    (valid / "__MACOSX").mkdir()
    (valid / "manifest.json").write_text("{}")  # of `kennel data upload`
    notes = find_all(train=train, valid=valid).notes
    assert notes == (
        "passed over: left by other tools: 2 (train/001.Affenpinscher/Thumbs.db, valid/__MACOSX)",
    )

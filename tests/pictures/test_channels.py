"""Channels into pictures: every usual layout, a split that can be repeated, and clear refusals."""

from collections import Counter
from pathlib import Path

import pytest

from pictures.channels import find
from pictures.folders import display_names
from pictures.picture import DataError, Splits

DOGS = ("001.Affenpinscher", "002.Afghan_hound", "003.Airedale")


def photos(root: Path, count: int, folders: tuple[str, ...] = DOGS) -> Path:
    """Files that channels may count; nothing here opens them."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(count):
            (root / folder / f"{number:03d}.jpg").write_bytes(b"x")
    return root


def look(**channels: Path) -> Splits:
    return find(channels, seed=1, valid_fraction=0.2, test_fraction=0.1)


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [("train", "valid", "test"), ("training", "validation", "testing"), ("train", "val", "test")],
)
def test_channels_under_their_usual_names(
    train: str, valid: str, test: str, tmp_path: Path
) -> None:
    splits = look(
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
def test_one_channel_holding_the_folders(channel: str, inner: str, tmp_path: Path) -> None:
    for name, count in (("train", 4), ("valid", 2), ("test", 1)):
        photos(tmp_path / inner / name, count)
    splits = look(**{channel: tmp_path})
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [12, 6, 3]


def test_train_alone_is_split_by_class_and_the_same_each_time(tmp_path: Path) -> None:
    splits = look(train=photos(tmp_path, 20))
    for part, each in ((splits.train, 14), (splits.valid, 4), (splits.test, 2)):
        assert Counter(picture.label for picture in part) == {0: each, 1: each, 2: each}
    everything = [p.path for p in (*splits.train, *splits.valid, *splits.test)]
    assert len(everything) == len(set(everything)) == 60
    assert splits == look(train=tmp_path)
    other = find({"train": tmp_path}, seed=2, valid_fraction=0.2, test_fraction=0.1)
    assert other.valid != splits.valid


def test_train_and_test_give_up_a_validation_part(tmp_path: Path) -> None:
    splits = look(train=photos(tmp_path / "a", 10), test=photos(tmp_path / "b", 3))
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [24, 6, 9]


def test_train_and_valid_need_no_test(tmp_path: Path) -> None:
    splits = look(train=photos(tmp_path / "a", 3), valid=photos(tmp_path / "b", 1))
    assert splits.test == ()


def test_every_suffix_and_depth_counts_and_litter_does_not(tmp_path: Path) -> None:
    photos(tmp_path, 3)
    (tmp_path / DOGS[0] / "more").mkdir()
    (tmp_path / DOGS[0] / "more" / "SHOUTED.JPEG").write_bytes(b"x")
    (tmp_path / DOGS[0] / "no-suffix").write_bytes(b"x")
    for litter in (".ipynb_checkpoints", "__MACOSX"):
        (tmp_path / litter).mkdir()
        (tmp_path / litter / "x.jpg").write_bytes(b"x")
    (tmp_path / DOGS[1] / ".DS_Store").write_bytes(b"x")
    splits = look(train=tmp_path)
    total = Counter(p.label for p in (*splits.train, *splits.valid, *splits.test))
    assert total == {0: 5, 1: 3, 2: 3}


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("001.Affenpinscher", "133.Yorkie"), ("Affenpinscher", "Yorkie")),
        (("n02086240-Shih-Tzu", "n02115641-Dingo"), ("Shih-Tzu", "Dingo")),
        (("0", "1", "2"), ("0", "1", "2")),
        (("1.dog", "2.dog"), ("1.dog", "2.dog")),  # alike without their numbers: kept
        (("Old_English_sheepdog", "3 Beagle"), ("Old_English_sheepdog", "Beagle")),
    ],
)
def test_names_to_show(folders: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert display_names(folders) == names


def test_an_empty_class_folder(tmp_path: Path) -> None:
    photos(tmp_path, 2)
    (tmp_path / "004.Akita").mkdir()
    with pytest.raises(DataError, match=r"without a picture in .*004\.Akita: add pictures or rem"):
        look(train=tmp_path)


def test_a_single_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one class only \(dogs\).*at least two"):
        look(train=photos(tmp_path, 5, ("dogs",)))


def test_classes_that_differ_between_channels(tmp_path: Path) -> None:
    train = photos(tmp_path / "a", 3)
    valid = photos(tmp_path / "b", 1, (*DOGS, "004.Akita"))
    with pytest.raises(DataError, match=r"\(valid\) that train does not have: 004\.Akita"):
        look(train=train, valid=valid)


def test_a_class_missing_from_a_channel_is_noted(tmp_path: Path) -> None:
    splits = look(train=photos(tmp_path / "a", 3), valid=photos(tmp_path / "b", 1, DOGS[:2]))
    assert "valid has no pictures of 003.Airedale" in splits.notes[0]
    assert {picture.label for picture in splits.valid} == {0, 1}


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({}, "the channels are none"),
        ({"cats": "a", "dogs": "b"}, "the channels are cats, dogs; name one `train`"),
        ({"train": "a", "training": "b"}, "train and training are both for train"),
        ({"train": "nowhere"}, "nowhere is not a folder"),
        ({"train": "empty"}, "no class folders in .*empty"),
    ],
)
def test_channels_that_make_no_sense(
    channels: dict[str, str], message: str, tmp_path: Path
) -> None:
    photos(tmp_path / "a", 1)
    photos(tmp_path / "b", 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        look(**{name: tmp_path / folder for name, folder in channels.items()})

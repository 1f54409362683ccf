"""Packed shards give exactly the pictures of their folder, and damage is explained."""

import itertools
import json
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

from pictures import channels, shards
from pictures.picture import DataError, Splits
from scripts.photos import packing
from tests.train import head_jobs
from tests.train.recorded import Recorded
from train.batches.augment import training_transform
from train.batches.loading import Pictures, loader
from train.batches.order import Order, shard_layout
from train.config import TrainConfig


@pytest.fixture(scope="module")
def packed(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "shards"
    packing.pack(few_digits, out, seed=0, shard_bytes=20_000)
    return out


@pytest.fixture
def copy(packed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(packed, tmp_path / "copy")


def splits(root: Path, **named: Path) -> Splits:
    given = named or {"data": root}
    return channels.find(given, split_seed=0, valid_fraction=0.2, test_fraction=0.1)


def test_shards_contain_the_folders_pictures(few_digits: Path, packed: Path) -> None:
    folder, shard = splits(few_digits), splits(packed)
    assert shard.folders == folder.folders
    for original, copied in zip(
        (*folder.train, *folder.valid, *folder.test),
        (*shard.train, *shard.valid, *shard.test),
        strict=True,
    ):
        assert copied.place
        assert original.label == copied.label
        assert original.path.relative_to(few_digits) == copied.path.relative_to(packed)
        assert original.read() == copied.read()


def test_shards_are_plain_tar_files(few_digits: Path, packed: Path) -> None:
    found: dict[str, bytes] = {}
    files = sorted((packed / "train").glob("*.tar"))
    assert len(files) > 3
    for shard in files:
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content
                found[member.name] = content.read()
    train = few_digits / "train"
    there = {p.relative_to(train).as_posix(): p for p in train.rglob("*") if p.is_file()}
    assert found == {name: path.read_bytes() for name, path in there.items()}
    assert list(found) != sorted(found)  # in random order


def test_long_and_unicode_names_are_read_back(tmp_path: Path) -> None:
    """Tar writes an extra header before files with such names."""
    names = ["kurz.jpg", "ünï/çødé.jpg", "n" * 200 + ".jpg", "a" * 90 + "/" + "b" * 120 + ".jpg"]
    given = [("Hünd", name, name.encode) for name in names]
    list(shards.write(tmp_path / "s", given, shuffle=None))
    found = shards.read(tmp_path / "s")
    assert [one.name for one in found] == names
    assert [one.place.read() for one in found] == [name.encode() for name in names]
    contents = shards.read_together([entry.place for entry in found])
    assert contents == [name.encode() for name in names]
    with tarfile.open(tmp_path / "s" / "00000.tar") as tar:
        assert tar.getnames() == [f"Hünd/{name}" for name in names]


def test_training_on_shards_gives_exactly_the_weights_of_the_folder(
    few_digits: Path, packed: Path, tmp_path: Path
) -> None:
    quiet = {"debugger": False, "profiler": False, "epochs": 1}
    folder, shard = (
        Recorded.lay_out(tmp_path / name, root, **quiet).run().weights
        for name, root in (("folder", few_digits), ("shards", packed))
    )
    assert all(torch.equal(value, shard[name]) for name, value in folder.items())


def test_train_alone_is_split_like_the_folder(few_digits: Path, packed: Path) -> None:
    there = splits(few_digits, train=few_digits / "train")
    here = splits(packed, train=packed / "train")
    assert len(here.valid) > 10
    for one, other in ((there.valid, here.valid), (there.test, here.test)):
        assert [p.path.name for p in one] == [p.path.name for p in other]


def test_blocks_stay_together_and_each_picture_comes_once(packed: Path) -> None:
    pictures = splits(packed).train
    layout = shard_layout(pictures)
    assert layout
    orders = [
        Order(len(pictures), 32, seed=1, rank=rank, world_size=2, layout=layout, block=8)
        for rank in (0, 1)
    ]
    batches = [[[i for _, i in batch] for batch in order] for order in orders]
    seen = [i for own in batches for batch in own for i in batch]
    assert sorted(seen) == list(range(len(pictures)))
    place = {index: at for at, index in enumerate(layout)}
    pairs = [pair for own in batches for batch in own for pair in itertools.pairwise(batch)]
    near = sum(place[b] - place[a] == 1 for a, b in pairs)
    assert near / len(pairs) > 0.7  # in a full shuffle, one in 140
    orders[0].epoch = 1
    assert [[i for _, i in batch] for batch in orders[0]] != batches[0]
    orders[0].epoch, orders[0].first = 0, 2
    assert [[i for _, i in batch] for batch in orders[0]] == batches[0][2:]


@pytest.mark.parametrize("workers", [0, 2])
def test_blocks_read_by_workers_contain_the_folders_pictures(
    workers: int, few_digits: Path, packed: Path
) -> None:
    transform = training_transform(TrainConfig(), head_jobs.TRANSFORM)
    there, here = splits(few_digits).train, splits(packed).train
    layout = shard_layout(here)
    images = [
        torch.cat(
            [
                batch.images
                for batch in loader(
                    Pictures(pictures, transform, seed=3),
                    Order(len(there), 32, seed=3, layout=layout, block=8),
                    workers=workers,
                )
            ]
        )
        for pictures in (there, here)
    ]
    assert torch.equal(*images)


def test_a_truncated_shard_is_named(copy: Path) -> None:
    shard = copy / "train" / "00001.tar"
    with shard.open("r+b") as file:
        file.truncate(shard.stat().st_size - 5000)
    with pytest.raises(DataError, match=r"00001\.tar is .* bytes long where the index has .*again"):
        splits(copy)


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / "valid" / "00000.tar").unlink()
    with pytest.raises(DataError, match=r"valid/00000\.tar is missing"):
        splits(copy)


def test_a_damaged_picture_is_skipped_and_named(copy: Path) -> None:
    pictures = splits(copy).train[:8]
    place = pictures[5].place
    assert place
    with place.shard.open("r+b") as file:
        file.seek(place.start + 7)
        file.write(b"\xff\x00\xff")
    dataset = Pictures(pictures, head_jobs.TRANSFORM, seed=0)
    (batch,) = loader(dataset, Order(8, 8, seed=None), workers=0)
    assert len(batch.labels) == 7
    ((path, reason),) = batch.unreadable
    assert path == str(pictures[5].path)
    assert f"shard {place.shard.name} is damaged at byte {place.start:,}" in reason


@pytest.mark.parametrize("damage", ["cut", "edited", "newer", "other", "missing"])
def test_a_damaged_index_is_refused(damage: str, copy: Path) -> None:
    index = copy / "train" / shards.INDEX
    contents = json.loads(index.read_text())
    if damage == "cut":
        index.write_bytes(index.read_bytes()[:-20])
    elif damage == "edited":
        contents["shards"][0]["pictures"][0][2] += 1
        index.write_text(json.dumps(contents))
    elif damage == "newer":
        index.write_text(json.dumps(contents | {"format": 99}))
    elif damage == "missing":
        index.unlink()
    else:
        index.write_text("[]")
    with pytest.raises(
        DataError, match=r"index\.json (is not an index|is damaged|has format 99).*pack again"
    ):
        splits(copy)

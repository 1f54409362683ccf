"""Decoded pictures in memory: the same pixels, decoded once, however little room there is."""

import mmap
from pathlib import Path

import pytest
import torch

from pictures.picture import Picture
from tests.train import head_jobs
from train.batches.augment import training_transform
from train.batches.decoded import Decoded, DecodedCache
from train.batches.loading import Pictures, loader
from train.batches.order import Order
from train.config import TrainConfig
from train.platform import memory
from train.state.setup import make_cache

SIZE = 3 * 32 * 32  # bytes of a digit, decoded


@pytest.fixture
def pictures(few_digits: Path, tmp_path: Path) -> tuple[Picture, ...]:
    """Forty pictures in files of this test's own."""
    found = []
    for number, picture in enumerate(head_jobs.find(few_digits).train[:40]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(picture.read())
        found.append(Picture(path, picture.label))
    return tuple(found)


def epochs(
    pictures: tuple[Picture, ...], decoded: Decoded | None, workers: int
) -> list[torch.Tensor]:
    """Return the images of three epochs; the files are gone after the first."""
    transform = training_transform(TrainConfig(), head_jobs.TRANSFORM)
    dataset = Pictures(pictures, transform, 3, decoded)
    order = Order(len(pictures), 8, seed=3)
    batches = loader(dataset, order, workers=workers)
    found = []
    for order.epoch in range(3):
        found.append(torch.cat([batch.images for batch in batches]))
        if decoded is not None:
            for picture in pictures:
                picture.path.unlink(missing_ok=True)
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_kept_pictures_are_the_decoders_and_are_not_decoded_again(
    workers: int, pictures: tuple[Picture, ...]
) -> None:
    expected = epochs(pictures, None, 0)
    decoded = Decoded(len(pictures), 10 * len(pictures) * SIZE, workers)
    for kept, anew in zip(epochs(pictures, decoded, workers), expected, strict=True):
        assert torch.equal(kept, anew)
    assert len(decoded) == len(pictures)


def test_what_does_not_fit_is_decoded_each_time(pictures: tuple[Picture, ...]) -> None:
    transform = training_transform(TrainConfig(), head_jobs.TRANSFORM)
    decoded = Decoded(len(pictures), 10 * SIZE, workers=0)
    kept, anew = (Pictures(pictures, transform, 3, one) for one in (decoded, None))
    for key in [(epoch, index) for epoch in (0, 1) for index in range(len(pictures))]:
        ours, theirs = kept[key][0], anew[key][0]
        assert isinstance(ours, torch.Tensor)
        assert isinstance(theirs, torch.Tensor)
        assert torch.equal(ours, theirs)
    assert 0 < len(decoded) < len(pictures)


def test_pictures_that_are_looked_at_once_are_not_kept(pictures: tuple[Picture, ...]) -> None:
    room = DecodedCache([pictures], workers=2, processes=1, wanted=2**24)
    assert room.of(pictures, 64) is room.of(pictures, 64)
    assert room.of(pictures, 64) is not None
    assert room.of(pictures[:5], 64) is None  # a test set, looked at once


def test_no_memory_is_said_and_survived(
    pictures: tuple[Picture, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    room = DecodedCache([pictures], workers=1, processes=1, wanted=2**62)
    assert room.of(pictures, 64) is None
    assert "no memory to cache decoded pictures" in capsys.readouterr().out
    assert room.of(pictures, 64) is None
    assert capsys.readouterr().out == ""  # said once


def test_it_can_be_switched_off_and_one_epoch_has_no_use_for_it(few_digits: Path) -> None:
    splits = head_jobs.find(few_digits)
    assert make_cache(TrainConfig(epochs=3), splits, 1, 1) is not None
    assert make_cache(TrainConfig(epochs=1), splits, 1, 1) is None
    assert make_cache(TrainConfig(epochs=3, cache_gib=0), splits, 1, 1) is None
    given = make_cache(TrainConfig(epochs=3, cache_gib=0.5), splits, 1, 2)
    assert given
    assert given.size == 2**28  # of two processes on this machine


@pytest.mark.parametrize("form", ["second", "first", "none"])
def test_the_containers_limit_counts(form: str, tmp_path: Path) -> None:
    page = mmap.PAGESIZE
    if form == "second":
        (tmp_path / "memory.max").write_text(f"{100 * page}\n")
        (tmp_path / "memory.current").write_text(f"{60 * page}\n")
        (tmp_path / "memory.stat").write_text(f"anon {40 * page}\ninactive_file {20 * page}\n")
    elif form == "first":
        (tmp_path / "memory").mkdir()
        (tmp_path / "memory/memory.limit_in_bytes").write_text(f"{100 * page}\n")
        (tmp_path / "memory/memory.usage_in_bytes").write_text(f"{60 * page}\n")
        (tmp_path / "memory/memory.stat").write_text(f"total_inactive_file {20 * page}\n")
    else:
        (tmp_path / "memory.max").write_text("max\n")
    found = memory.free(tmp_path)
    if form == "none":
        assert found > 100 * page
    else:
        assert found == 60 * page

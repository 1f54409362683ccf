"""The cache of decoded pictures returns the same pixels and decodes each picture at most once."""

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
    """Forty pictures in files that the test can delete."""
    found = []
    for number, picture in enumerate(head_jobs.find(few_digits).train[:40]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(picture.read())
        found.append(Picture(path, picture.label))
    return tuple(found)


def epochs(
    pictures: tuple[Picture, ...], decoded: Decoded | None, workers: int
) -> list[torch.Tensor]:
    """Return the images of three epochs; with a cache, the files are deleted after the first."""
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
def test_cached_pictures_equal_decoded_ones_and_need_no_file(
    workers: int, pictures: tuple[Picture, ...]
) -> None:
    expected = epochs(pictures, None, 0)
    decoded = Decoded(len(pictures), 10 * len(pictures) * SIZE, workers)
    for cached, plain in zip(epochs(pictures, decoded, workers), expected, strict=True):
        assert torch.equal(cached, plain)
    assert len(decoded) == len(pictures)


def test_pictures_that_do_not_fit_are_decoded_each_time(pictures: tuple[Picture, ...]) -> None:
    transform = training_transform(TrainConfig(), head_jobs.TRANSFORM)
    decoded = Decoded(len(pictures), 10 * SIZE, workers=0)
    cached, plain = (Pictures(pictures, transform, 3, cache) for cache in (decoded, None))
    for key in [(epoch, index) for epoch in (0, 1) for index in range(len(pictures))]:
        ours, theirs = cached[key][0], plain[key][0]
        assert isinstance(ours, torch.Tensor)
        assert isinstance(theirs, torch.Tensor)
        assert torch.equal(ours, theirs)
    assert 0 < len(decoded) < len(pictures)


def test_pictures_that_are_used_once_are_not_cached(pictures: tuple[Picture, ...]) -> None:
    cache = DecodedCache([pictures], workers=2, processes=1, wanted=2**24)
    assert cache.of(pictures, 64) is cache.of(pictures, 64)
    assert cache.of(pictures, 64) is not None
    assert cache.of(pictures[:5], 64) is None  # a test set, used once


def test_too_little_memory_is_logged_once_and_turns_the_cache_off(
    pictures: tuple[Picture, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    cache = DecodedCache([pictures], workers=1, processes=1, wanted=2**62)
    assert cache.of(pictures, 64) is None
    assert "no memory to cache decoded pictures" in capsys.readouterr().out
    assert cache.of(pictures, 64) is None
    assert capsys.readouterr().out == ""  # logged once


def test_the_cache_is_off_for_one_epoch_and_on_request(few_digits: Path) -> None:
    splits = head_jobs.find(few_digits)
    assert make_cache(TrainConfig(epochs=3), splits, 1, 1) is not None
    assert make_cache(TrainConfig(epochs=1), splits, 1, 1) is None
    assert make_cache(TrainConfig(epochs=3, cache_gib=0), splits, 1, 1) is None
    given = make_cache(TrainConfig(epochs=3, cache_gib=0.5), splits, 1, 2)
    assert given
    assert given.size == 2**28  # half, for one of two processes on this machine


@pytest.mark.parametrize("version", ["v2", "v1", "none"])
def test_the_containers_memory_limit_counts(version: str, tmp_path: Path) -> None:
    page = mmap.PAGESIZE
    if version == "v2":
        (tmp_path / "memory.max").write_text(f"{100 * page}\n")
        (tmp_path / "memory.current").write_text(f"{60 * page}\n")
        (tmp_path / "memory.stat").write_text(f"anon {40 * page}\ninactive_file {20 * page}\n")
    elif version == "v1":
        (tmp_path / "memory").mkdir()
        (tmp_path / "memory/memory.limit_in_bytes").write_text(f"{100 * page}\n")
        (tmp_path / "memory/memory.usage_in_bytes").write_text(f"{60 * page}\n")
        (tmp_path / "memory/memory.stat").write_text(f"total_inactive_file {20 * page}\n")
    else:
        (tmp_path / "memory.max").write_text("max\n")
    found = memory.free(tmp_path)
    if version == "none":
        assert found > 100 * page
    else:
        assert found == 60 * page

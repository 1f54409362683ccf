"""Batches hold each picture once, equal for any number of workers; unreadable ones are counted."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from classifier.transform import EvaluationTransform
from pictures.channels import find
from pictures.picture import DataError, Picture
from tests.pictures.inputs import png
from train.batches.augment import Transform, training_transform
from train.batches.batch import Unreadable
from train.batches.decoded import Decoded
from train.batches.loading import Pictures, loader, worker_count
from train.batches.order import Order, mix
from train.config import TrainConfig
from train.learning.parallel import gather_unreadable

TRANSFORM = EvaluationTransform(resize=36, crop=32)


@pytest.fixture(scope="module")
def pictures(few_digits: Path) -> tuple[Picture, ...]:
    return find({"data": few_digits}, split_seed=0, valid_fraction=0, test_fraction=0).train


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("count", [64, 65, 70])
def test_evaluation_takes_each_picture_once(world: int, count: int) -> None:
    orders = [Order(count, 16, seed=None, rank=r, world_size=world) for r in range(world)]
    seen = [index for order in orders for batch in order for _, index in batch]
    assert sorted(seen) == list(range(count))
    assert len({len(list(order)) for order in orders}) == 1  # or collective operations would hang


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("count", [64, 65, 66, 71])
def test_training_takes_the_same_batches_with_any_number_of_processes(
    world: int, count: int
) -> None:
    alone = list(Order(count, 16, seed=5))
    orders = [Order(count, 16, seed=5, rank=r, world_size=world) for r in range(world)]
    shares = list(zip(*(list(order) for order in orders), strict=True))
    for whole, parts in zip(alone, shares, strict=True):
        assert sorted(key for part in parts for key in part) == sorted(whole)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    seen = [index for batch in alone for _, index in batch]
    assert len(seen) == len(set(seen)) == count - (count == 65)  # batch norm needs two


def test_an_epoch_resumed_by_another_number_of_processes_takes_each_picture_once() -> None:
    for before, after, first in itertools.product((1, 2, 3), (1, 2, 4), (0, 2, 4)):
        seen = []
        for world, part in ((before, slice(first)), (after, slice(first, None))):
            for rank in range(world):
                order = Order(70, 16, seed=3, rank=rank, world_size=world)
                order.epoch = 2
                seen += [key for batch in list(order)[part] for key in batch]
        assert sorted(seen) == [(2, index) for index in range(70)]


def test_each_epoch_has_its_own_order_which_is_the_same_in_every_run() -> None:
    order = Order(50, 10, seed=1)
    first = list(order)
    assert first == list(order)
    order.epoch = 1
    assert [i for b in order for _, i in b] != [i for b in first for _, i in b]


def test_an_epoch_can_start_in_its_middle() -> None:
    order = Order(50, 10, seed=1)
    whole = list(order)
    order.first = 3
    assert list(order) == whole[3:]
    assert len(order) == 2


def epoch_images(
    pictures: Sequence[Picture], transform: Transform, *, workers: int = 0
) -> torch.Tensor:
    """Return the images of one epoch, float32 [N, 3, 32, 32]."""
    dataset = Pictures(pictures, transform, seed=3)
    batches = loader(dataset, Order(len(pictures), 8, seed=3), workers=workers)
    return torch.cat([batch.images_on(torch.device("cpu")) for batch in batches])


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("augment", ["crop", "randaugment", "trivialaugment", "none"])
def test_random_transforms_do_not_depend_on_the_workers(
    augment: str, on_device: bool, pictures: tuple[Picture, ...]
) -> None:
    config = TrainConfig.model_validate({"augment": augment})
    transform = training_transform(config, TRANSFORM, on_device=on_device)
    alone, by_two = (epoch_images(pictures[:24], transform, workers=n) for n in (0, 2))
    assert alone.shape == (24, 3, 32, 32)
    assert torch.equal(alone, by_two)


@pytest.mark.parametrize("augment", ["randaugment", "trivialaugment"])
def test_a_policy_has_nearly_the_same_effect_on_the_device_and_in_the_workers(
    augment: str, pictures: tuple[Picture, ...]
) -> None:
    """Pillow rounds differently, and has hard edges where pixels from outside come in."""
    config = TrainConfig.model_validate({"augment": augment})
    by_workers, by_device = (
        epoch_images(pictures, training_transform(config, TRANSFORM, on_device=on_device))
        for on_device in (False, True)
    )
    without = epoch_images(pictures, training_transform(TrainConfig(), TRANSFORM))
    changed = (by_workers - without).abs().mean()
    assert (by_workers - by_device).abs().mean() < 0.05 * changed


def test_another_epoch_augments_the_picture_differently(pictures: tuple[Picture, ...]) -> None:
    dataset = Pictures(pictures, training_transform(TrainConfig(), TRANSFORM), seed=3)
    first, again, later = dataset[0, 5][0], dataset[0, 5][0], dataset[1, 5][0]
    assert isinstance(first, torch.Tensor)
    assert isinstance(again, torch.Tensor)
    assert isinstance(later, torch.Tensor)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_without_augmentation_training_uses_the_evaluation_transform(
    pictures: tuple[Picture, ...],
) -> None:
    config = TrainConfig(augment="none", horizontal_flip=False)
    assert training_transform(config, TRANSFORM) is TRANSFORM


def test_a_batch_is_normalised_as_the_server_normalises_a_picture(
    pictures: tuple[Picture, ...],
) -> None:
    dataset = Pictures(pictures, TRANSFORM, seed=0)
    (batch,) = loader(dataset, Order(8, 8, seed=None), workers=0)
    assert batch.images.dtype is torch.uint8
    images = batch.images_on(torch.device("cpu"))
    assert images.is_contiguous(memory_format=torch.channels_last)
    alone = np.stack([TRANSFORM.read(picture.read()) for picture in pictures[:8]])
    assert np.array_equal(images.numpy(), alone)


def test_large_photos_are_decoded_at_the_smallest_size_that_a_crop_needs(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(path)
    cache = Decoded(1, 2**20, workers=0)
    transform = training_transform(TrainConfig(), TRANSFORM)
    image = Pictures([Picture(path, 0)], transform, 0, cache)[0, 0][0]
    assert isinstance(image, torch.Tensor)
    assert image.shape == (3, 32, 32)
    cached = cache.get(0)
    assert cached
    assert cached.size == (160, 120)  # at an eighth, the height is 60, but 64 is needed


def test_reading_a_picture_does_not_change_the_random_state(pictures: tuple[Picture, ...]) -> None:
    dataset = Pictures(pictures, training_transform(TrainConfig(), TRANSFORM), seed=3)
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    dataset[0, 1]
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_read_with_an_assumption_are_counted_and_named(
    pictures: tuple[Picture, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    workers: int,
) -> None:
    dark = np.random.default_rng(0).integers(0, 4096, (40, 40, 1), np.uint16)
    (tmp_path / "dark.png").write_bytes(png(dark, 0, 16))
    dataset = Pictures((*pictures[:3], Picture(tmp_path / "dark.png", 0)), TRANSFORM, seed=0)
    (batch,) = loader(dataset, Order(4, 4, seed=None), workers=workers)
    assert len(batch.labels) == 4
    unreadable = Unreadable(share=0.5, total=4)
    for _ in range(2):  # epochs
        unreadable.add(batch.unreadable, batch.remarks)
        gather_unreadable(unreadable)
    log = capsys.readouterr().out
    assert log.count("use 12 of 16 bits") == 1
    assert "1 pictures, " in log
    assert "dark.png" in log


def test_unreadable_pictures_are_skipped_and_logged_once(
    pictures: tuple[Picture, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a photo")
    bad = [Picture(tmp_path / name, 0) for name in ("empty.jpg", "text.jpg", "missing.jpg")]
    dataset = Pictures((*pictures[:5], *bad), TRANSFORM, seed=0)
    (batch,) = loader(dataset, Order(8, 8, seed=None), workers=0)
    assert batch.images.shape[0] == len(batch.labels) == 5
    unreadable = Unreadable(share=0.5, total=8)
    unreadable.add(batch.unreadable)
    unreadable.add(batch.unreadable)  # the next epoch: not counted and not logged again
    log = capsys.readouterr().out
    assert log.count("skipped unreadable picture") == 3
    assert "empty.jpg: the picture is empty (0 bytes)" in log
    assert "missing.jpg" in log


def test_too_many_unreadable_pictures_fail_the_job() -> None:
    unreadable = Unreadable(share=0.01, total=150)  # two are allowed
    unreadable.add([("a.jpg", "empty"), ("b.jpg", "empty")])
    with pytest.raises(DataError, match=r"3 of 150 pictures cannot be read, 2 are allowed \(max_u"):
        unreadable.add([("c.jpg", "cut short")])


def test_a_batch_without_readable_pictures_is_empty(tmp_path: Path) -> None:
    dataset = Pictures([Picture(tmp_path / "missing.jpg", 0)] * 2, TRANSFORM, seed=0)
    (batch,) = loader(dataset, Order(2, 2, seed=None), workers=0)
    assert len(batch.labels) == 0
    assert len(batch.unreadable) == 2


def test_workers_are_limited_by_shared_memory() -> None:
    wanted = TrainConfig(workers=2, batch_size=2)
    assert worker_count(wanted, crop=32, processes=1) == (2, "")
    excessive = TrainConfig(workers=200, batch_size=65_536)
    count, note = worker_count(excessive, crop=600, processes=1)
    assert count < 200
    assert "shm-size" in note


def test_mixed_seeds_are_distinct() -> None:
    seeds = {mix(0, epoch, index) for epoch in range(30) for index in range(300)}
    assert len(seeds) == 9000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mix(1, 2) != mix(2, 1)

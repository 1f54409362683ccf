"""Last batches of every size, in several processes and parts: no share or part is too small."""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from PIL import Image

from classifier import bundle
from tests.train import multiprocess
from train.batches.order import Order
from train.config import TrainConfig
from train.learning import batch_norm
from train.learning.gradients import part_sizes


@pytest.mark.parametrize("layout", [False, True])
@pytest.mark.parametrize("world", [1, 2, 3, 4, 8])
def test_shares_are_what_each_process_gets(world: int, layout: bool) -> None:
    for count in range(2, 40):
        neighbours = list(range(count)) if layout else None
        orders = [
            Order(count, 8, seed=0, rank=r, world_size=world, layout=neighbours, block=4)
            for r in range(world)
        ]
        batches = [list(order) for order in orders]
        for number in range(len(orders[0])):
            sizes = tuple(len(batches[rank][number]) for rank in range(world))
            assert {order.shares(number) for order in orders} == {sizes}


def test_every_part_has_two_pictures_over_all_processes() -> None:
    for world, most, total in itertools.product((1, 2, 3, 4, 8), (1, 2, 3, 4), range(2, 30)):
        shares = [len(range(rank, total, world)) for rank in range(world)]
        sizes = [part_sizes(n, most, shares, rank) for rank, n in enumerate(shares)]
        assert [sum(own) for own in sizes] == shares
        parts = [sum(column) for column in zip(*sizes, strict=True)]
        assert min(parts) >= 2
        assert max(parts) - min(parts) <= 1
        assert len(parts) == min(most, max(1, total // 2))


def test_fewer_pictures_than_planned_still_fill_all_parts_of_a_process() -> None:
    """A picture that cannot be read is missing in one process only; the parts stay aligned."""
    assert part_sizes(3, 4, (4, 4), 0) == [1, 1, 1, 0]
    assert part_sizes(0, 4, (4, 4), 1) == [0, 0, 0, 0]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    store = f"file://{tmp_path}/rendezvous"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_batch_norm_notes_no_statistics_of_one_value() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    batch_norm.synchronise(network, torch.device("cpu"))
    network.train()
    for images in (torch.ones(1, 2, 1, 1), torch.ones(0, 2, 1, 1)):
        assert torch.isfinite(network(images)).all()
    layer = network[0]
    assert isinstance(layer, torch.nn.BatchNorm2d)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert torch.equal(layer.running_mean, torch.zeros(2))
    assert torch.equal(layer.running_var, torch.ones(2))


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 9 training, 4 validation and 4 test pictures each."""
    root = tmp_path_factory.mktemp("colours")
    draw = torch.Generator().manual_seed(0)
    for split, count in (("train", 9), ("valid", 4), ("test", 4)):
        for label in ("dark", "light"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                noise = torch.randint(100, (32, 32, 3), generator=draw, dtype=torch.uint8)
                pixels = noise + (0 if label == "dark" else 155)
                Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "batch_size", "accumulate"),
    [(2, 8, 4), (3, 8, 1), (3, 8, 4), (4, 7, 3), (8, 16, 2)],
)
def test_a_small_last_batch_trains_as_in_one_process(
    world: int, batch_size: int, accumulate: int, colours: Path, tmp_path: Path
) -> None:
    """18 pictures: last batches of 2 and 4 leave processes and parts without a picture."""
    settings = TrainConfig.model_validate(
        {
            **{
                "architecture": "resnet18",
                "weights": "none",
                "trainable": "all",
                "workers": 0,
                "export": "none",
            },
            **{"image_size": 32, "epochs": 1, "batch_size": batch_size, "precision": "fp32"},
            **{"learning_rate": 1e-3, "accumulate": accumulate, "freeze_batch_norm": True},
        }
    )
    for count in (1, world):
        multiprocess.train(tmp_path / str(count), colours, settings, count)
    one, several = (
        json.loads((tmp_path / str(count) / "data" / "metrics.json").read_text())["history"][0]
        for count in (1, world)
    )
    for name in ("train:loss", "validation:loss"):
        assert several[name] == pytest.approx(one[name], rel=1e-3)


@pytest.mark.slow
def test_batch_norm_stays_finite_with_small_last_batches(colours: Path, tmp_path: Path) -> None:
    """One picture cannot be read, so that a part of the last batch has a single picture."""
    (colours / "train" / "dark" / "0.png").write_bytes(b"")
    settings = TrainConfig.model_validate(
        {
            **{
                "architecture": "resnet18",
                "weights": "none",
                "trainable": "all",
                "workers": 0,
                "export": "none",
            },
            **{"image_size": 32, "epochs": 2, "batch_size": 8, "precision": "fp32"},
            **{"learning_rate": 1e-3, "accumulate": 4, "max_unreadable": 0.5},
        }
    )
    multiprocess.train(tmp_path, colours, settings, 3)
    trained = bundle.load(tmp_path / "model").network.state_dict()
    assert all(torch.isfinite(value).all() for value in trained.values())
    history = json.loads((tmp_path / "data" / "metrics.json").read_text())["history"]
    assert all(math.isfinite(epoch["validation:loss"]) for epoch in history)

"""The largest batch that fits: several processes decide together, whichever has least memory."""

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from pictures.picture import Picture, Splits
from tests.train import head_jobs
from train.config import TrainConfig
from train.platform.stop import Stop
from train.recording.hooks import Hooks
from train.stages import fitting
from train.state.setup import set_up


@pytest.mark.parametrize(("limit", "size"), [(100, 64), (64, 64), (1, 1), (0, 1), (9999, 4096)])
def test_the_largest_power_of_two_that_fits(limit: int, size: int) -> None:
    tried = []

    def fits(pictures: int) -> bool:
        tried.append(pictures)
        return pictures <= limit

    assert fitting.largest(fits, fitting.MOST) == size
    assert len(tried) <= 13


class Device(nn.Module):
    """A layer in the middle of a network whose device has memory for so many pictures."""

    def __init__(self, pictures: int) -> None:
        super().__init__()
        self.pictures = pictures
        self.tried: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(images))
        if len(images) > self.pictures:
            raise torch.OutOfMemoryError(f"no memory for {len(images)} pictures")
        return images


def fit(root: Path, rank: int, limits: list[int], accumulate: int, found: Any) -> None:
    """Fit the batch size in one process of several, on a device with its own limit."""
    torch.set_num_threads(1)
    world = len(limits)
    if world > 1:
        store = f"file://{root}/rendezvous"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    config = TrainConfig.model_validate(
        {
            **{
                "architecture": "resnet18",
                "weights": "none",
                "trainable": "all",
                "workers": 0,
                "export": "none",
            },
            **{"image_size": 32, "precision": "fp32", "accumulate": accumulate},
        }
    )
    pictures = tuple(Picture(root / f"{label}.png", label) for label in (0, 1))
    splits = Splits(("a", "b"), ("a", "b"), pictures, pictures)
    (root / "0.png").write_bytes(b"a")
    (root / "1.png").write_bytes(b"b")
    job = replace(
        head_jobs.job(root), rank=rank, local_rank=rank, world_size=world, local_world_size=world
    )
    run, network = set_up(config, splits, job, Stop(), Hooks())
    device = Device(limits[rank])
    inner = network.get_submodule("layer2")
    network.layer2 = nn.Sequential(inner, device)  # after batch norm, and before more
    before = {name: value.clone() for name, value in network.state_dict().items()}
    size = fitting.fit(run, network, lambda count: fitting.step(run, network, count))
    same = all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    kinds = sorted({type(module).__name__ for module in network.modules() if "Norm" in str(module)})
    found.put((rank, size, device.tried, same, kinds))
    if world > 1:
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "accumulate", "size"),
    [([9], 1, 8), ([9, 100], 1, 16), ([64, 5, 17], 2, 24), ([1, 64], 1, 2), ([8, 8, 8, 3], 1, 8)],
)
def test_processes_agree_on_the_batch_that_fits_in_the_least_memory(
    limits: list[int], accumulate: int, size: int, tmp_path: Path
) -> None:
    """A process without memory stops in the middle of its pass; no other one waits for it there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.multiprocess"])
    found = context.Queue()
    processes = [
        context.Process(target=fit, args=(tmp_path, rank, limits, accumulate, found))
        for rank in range(len(limits))
    ]
    for process in processes:
        process.start()
    results = sorted(found.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(limits)
    assert {each for _, each, *_ in results} == {size}
    assert {tuple(tried) for _, _, tried, *_ in results} == {tuple(results[0][2])}
    assert all(restored for *_, restored, _ in results)
    assert not any("_OwnStatistics" in kinds for *_, kinds in results)

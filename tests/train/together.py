"""Jobs of several processes over gloo, forked from one that imported torch."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from pictures.picture import DataError
from tests.train import heads
from train import loop
from train.config import TrainConfig
from train.learning import parallel
from train.platform.stop import Stop
from train.recording.hooks import Hooks


def train(root: Path, data: Path, settings: TrainConfig, world: int) -> None:
    """Run a job to its end, in `world` processes."""
    heads.job(root)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.together"])
    processes = [
        context.Process(target=_train, args=(root, data, settings, rank, world))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * world


def _train(root: Path, data: Path, settings: TrainConfig, rank: int, world: int) -> None:
    torch.set_num_threads(1)
    if world > 1:
        meeting = f"file://{root}/meeting"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    job = replace(
        heads.job(root), rank=rank, local_rank=rank, world_size=world, local_world_size=world
    )
    loop.train(settings, heads.find(data), job, Stop(), Hooks())
    if world > 1:
        dist.destroy_process_group()


def differ(root: Path, data: tuple[Path, Path]) -> list[str]:
    """Return what two processes say whose photos differ."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.together"])
    said = context.Queue()
    processes = [
        context.Process(target=_check, args=(root, folder, rank, said))
        for rank, folder in enumerate(data)
    ]
    for process in processes:
        process.start()
    found = [said.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(300)
    return found


def _check(root: Path, data: Path, rank: int, said: "multiprocessing.Queue[str]") -> None:
    meeting = f"file://{root}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    try:
        parallel.check_same_pictures(heads.find(data))
        said.put("")
    except DataError as error:
        said.put(str(error))
    dist.destroy_process_group()

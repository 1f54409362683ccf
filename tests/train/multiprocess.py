"""Jobs of several processes that communicate over gloo, forked from a server with torch loaded."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from pictures.picture import DataError
from tests.train import head_jobs
from train import loop
from train.config import TrainConfig
from train.learning import parallel
from train.platform.stop import Stop
from train.recording.hooks import Hooks


def train(root: Path, data: Path, settings: TrainConfig, world: int) -> None:
    """Run a job to its end, in `world` processes."""
    head_jobs.job(root)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.multiprocess"])
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
        store = f"file://{root}/rendezvous"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    job = replace(
        head_jobs.job(root), rank=rank, local_rank=rank, world_size=world, local_world_size=world
    )
    loop.train(settings, head_jobs.find(data), job, Stop(), Hooks())
    if world > 1:
        dist.destroy_process_group()


def check_photos(root: Path, data: tuple[Path, Path]) -> list[str]:
    """Compare the photos of two processes; return the error of each, or an empty text."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.multiprocess"])
    errors = context.Queue()
    processes = [
        context.Process(target=_check, args=(root, folder, rank, errors))
        for rank, folder in enumerate(data)
    ]
    for process in processes:
        process.start()
    found = [errors.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(300)
    return found


def _check(root: Path, data: Path, rank: int, errors: "multiprocessing.Queue[str]") -> None:
    store = f"file://{root}/rendezvous"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    try:
        parallel.check_same_pictures(head_jobs.find(data))
        errors.put("")
    except DataError as error:
        errors.put(str(error))
    dist.destroy_process_group()

"""One step on last batches of every size: 2, 3, 4 and 8 processes compute what one computes.

Each row is a batch size, a number of parts, and the process whose first picture cannot be read. The
processes go through all rows, on a network that takes milliseconds.
"""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import nn

from train.batches.order import Order
from train.learning import batch_norm, parallel
from train.learning.gradients import Gradients, enough
from train.recording.hooks import Step


class Row(NamedTuple):
    """A batch: its size, its parts, and the process that cannot read a picture (-1: none)."""

    size: int
    parts: int
    unreadable: int


@dataclass
class Result:
    """A step's summed loss, right answers and pictures, and its gradients; None if skipped."""

    figures: list[float] | None
    gradients: dict[str, list[float]]
    finite: bool = True


def rows(world: int) -> Iterator[Row]:
    """Yield batches from 2 pictures to two for each process, and some beyond.

    More parts than pairs of pictures are the same parts (test_uneven_batches.py).
    """
    for size in (*range(2, world + 2), 2 * world, 2 * world + 1, 4 * world - 1):
        for parts in range(1, min(4, size // 2) + 1):
            for unreadable in sorted({-1, 0, min(world, size) - 1}):
                yield Row(size, parts, unreadable)


def share(row: Row, rank: int, world: int) -> tuple[list[int], tuple[int, ...]]:
    """Return the pictures of a process, and the number of each process's."""
    order = Order(row.size, row.size, seed=0, rank=rank, world_size=world)
    return [index for _, index in next(iter(order))], order.shares(0)


def network(*, frozen: bool) -> nn.Module:
    torch.manual_seed(1)
    body = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    built = nn.Sequential(*body, nn.Flatten(), nn.Linear(4, 3)).train()
    if frozen:
        built[1].eval()
    return built


def take_step(
    row: Row, world: int, rank: int, processes: int, model: nn.Module, built: nn.Module
) -> Result:
    """Take a step as the training loop does.

    Args:
        row: the batch.
        world: of the row; the unreadable picture is in one of these shares.
        rank: of this process.
        processes: that take the step: `world`, or 1.
        model: takes the batch.
        built: the network inside.
    """
    lost = share(row, row.unreadable, world)[0][0] if row.unreadable >= 0 else None
    own, shares = share(row, rank, processes)
    own = [index for index in own if index != lost]
    if not enough(len(own), shares):
        return Result(None, {})
    draw = torch.Generator().manual_seed(row.size)
    images = torch.randn(row.size, 3, 6, 6, generator=draw)[own]
    labels = torch.randint(3, (row.size,), generator=draw)[own]
    gradients = Gradients(
        model,
        nn.CrossEntropyLoss(),
        torch.amp.GradScaler("cpu", enabled=False),
        torch.autocast("cpu", enabled=False),
        row.parts,
        processes,
        rank,
    )
    built.zero_grad()
    _, figures = gradients.accumulate(Step(), images, labels, labels, shares)
    found = {name: one.grad for name, one in built.named_parameters()}
    state = built.state_dict().values()
    return Result(
        figures.tolist(),
        {name: [] if one is None else one.flatten().tolist() for name, one in found.items()},
        all(bool(torch.isfinite(one).all()) for one in state),
    )


def all_steps(world: int, rank: int, processes: int) -> list[Result]:
    """Take every step twice: with batch norm that is trained, and with frozen batch norm."""
    found = []
    for frozen in (False, True):
        built = network(frozen=frozen)
        if processes > 1:
            built = batch_norm.synchronise(built, torch.device("cpu"))
        before = {name: value.clone() for name, value in built.state_dict().items()}
        model = parallel.wrap(built)
        for row in rows(world):
            built.load_state_dict(before)
            found.append(take_step(row, world, rank, processes, model, built))
    return found


def run(root: Path, world: int, rank: int, found: Any) -> None:
    """Take all steps in one process of several."""
    torch.set_num_threads(1)
    store = f"file://{root}/rendezvous"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    found.put((rank, all_steps(world, rank, world)))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3, 4, 8])
def test_a_step_of_several_processes_is_the_step_of_one(world: int, tmp_path: Path) -> None:
    """Losses within 1e-5 and gradients within 1e-4; batch norm is finite in every row.

    Batch norm that is trained has the statistics of its part, so with several parts it depends on
    which pictures are in which part; those rows are compared with frozen batch norm.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.multiprocess"])
    queue = context.Queue()
    processes = [
        context.Process(target=run, args=(tmp_path, world, rank, queue)) for rank in range(world)
    ]
    for process in processes:
        process.start()
    found: dict[int, list[Result]] = dict(queue.get(timeout=300) for _ in processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * world
    compared = 0
    alone = all_steps(world, 0, 1)
    cases = [(row, frozen) for frozen in (False, True) for row in rows(world)]
    for number, (case, one) in enumerate(zip(cases, alone, strict=True)):
        row, frozen = case
        several = [found[rank][number] for rank in range(world)]
        assert {str(each.figures) for each in several} == {str(several[0].figures)}, case
        assert all(each.finite for each in several), case
        if one.figures is None:  # a single picture could be read
            assert several[0].figures is None, case
            continue
        assert several[0].figures is not None, case
        assert several[0].figures[2] == one.figures[2] == row.size - (row.unreadable >= 0), case
        if frozen or row.parts == 1:
            assert several[0].figures == pytest.approx(one.figures, rel=1e-5), case
            for name, gradient in one.gradients.items():
                mine = several[0].gradients[name]
                assert mine == pytest.approx(gradient, rel=1e-4, abs=1e-6), (case, name)
            compared += 1
    assert compared > 30

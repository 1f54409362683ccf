from pathlib import Path

import pytest

from serve import machine
from serve.machine import Layout, layout


@pytest.mark.parametrize(
    ("cores", "gpus", "memory_mb", "expected"),
    [
        (2, 0, 4_000, Layout(2, 2, 8)),
        (2, 0, 2_000, Layout(1, 2, 8)),
        (8, 0, 32_000, Layout(2, 8, 8)),
        (16, 0, 64_000, Layout(3, 8, 8)),
        (96, 0, 3_500, Layout(2, 48, 8)),
        (1, 0, 500, Layout(1, 1, 8)),
        (8, 1, 32_000, Layout(2, 4, 32)),
        (1, 1, 32_000, Layout(1, 1, 32)),
        (48, 4, 192_000, Layout(8, 6, 32)),
    ],
)
def test_the_layout_for_a_machine(cores: int, gpus: int, memory_mb: int, expected: Layout) -> None:
    assert layout(cores, gpus, memory_mb) == expected


def test_a_set_number_of_workers_shares_the_cores() -> None:
    assert layout(8, 0, 1_000, workers=3) == Layout(3, 2, 8)


def test_the_resources_of_this_machine() -> None:
    assert machine.cores() >= 1
    assert machine.memory_mb() > 100
    assert machine.gpus() >= 0


@pytest.mark.parametrize(
    ("files", "cores", "memory_mb"),
    [
        ({"cpu.max": "150000 100000", "memory.max": "1073741824"}, 2, 1024),
        (
            {
                "cpu/cpu.cfs_quota_us": "50000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "536870912",
            },
            1,
            512,
        ),
        ({"cpu.max": "max 100000", "memory.max": "max"}, 64, None),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64, None),
        ({}, 64, None),
    ],
)
def test_the_limits_of_a_container_are_respected(
    files: dict[str, str],
    cores: int,
    memory_mb: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the files of both cgroup versions, on a machine of 64 cores."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert machine.cores() == cores
    if memory_mb:
        assert machine.memory_mb() == memory_mb

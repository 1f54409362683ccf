"""Synthetic samples of a host with two GPUs: test machines have no GPU.

They cover 14 minutes of training, with a sample every half second.
"""

from collections.abc import Callable

from debugger.records import System

SAMPLES = 1700


def busy(number: int) -> dict[str, float]:
    """Return a sample of a healthy host."""
    swing = number % 7
    return {
        "cpu": 60.0 + swing,
        "iowait": 2.0,
        "gpu/0": 88.0 + swing,
        "gpu/1": 90.0 + swing,
        "gpu_memory/0": 80.0,
        "gpu_memory/1": 80.0,
    }


def tiny_batches(number: int) -> dict[str, float]:
    few = {"cpu": 20.0, "gpu/0": 30.0, "gpu/1": 30.0, "gpu_memory/0": 15.0, "gpu_memory/1": 15.0}
    return busy(number) | few


def slow_decoding(number: int) -> dict[str, float]:
    starved = {"cpu": 97.0, "gpu/0": 4.0, "gpu/1": 4.0}
    return busy(number) | (starved if number % 5 else {})


def slow_storage(number: int) -> dict[str, float]:
    starved = {"cpu": 15.0, "iowait": 70.0, "gpu/0": 4.0, "gpu/1": 4.0}
    return busy(number) | (starved if number % 5 else {})


def one_gpu_almost_idle(number: int) -> dict[str, float]:
    return busy(number) | {"gpu/1": 12.0}


def busy_some_of_the_time(number: int) -> dict[str, float]:
    return busy(number) | ({"gpu/0": 0.0, "gpu/1": 0.0} if number % 8 == 0 else {})


def tensors_stored_on_the_gpu(number: int) -> dict[str, float]:
    return busy(number) | {"gpu_memory/0": 60.0 + number / 100}


FAULTS: dict[Callable[[int], dict[str, float]], tuple[str, ...]] = {
    tiny_batches: ("BatchSize", "LowGPUUtilization"),
    slow_decoding: ("CPUBottleneck", "LowGPUUtilization"),
    slow_storage: ("IOBottleneck", "LowGPUUtilization"),
    one_gpu_almost_idle: ("LoadBalancing", "LowGPUUtilization"),
    busy_some_of_the_time: ("LowGPUUtilization",),
    tensors_stored_on_the_gpu: ("GPUMemoryIncrease",),
}


def samples(host: Callable[[int], dict[str, float]], begin: float) -> list[System]:
    """Return the samples of a host, starting at `begin`."""
    return [System(begin + number / 2, host(number)) for number in range(1, SAMPLES)]

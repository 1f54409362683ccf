"""What this processor computes in, and networks compiled for it by OpenVINO. Without torch."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino

# What OpenVINO calls the precisions.
_HINTS = {"fp32": "f32", "bf16": "bf16"}
_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}


class UnsupportedError(ValueError):
    """This processor cannot compute what was asked for."""


def computes_bf16() -> bool:
    """Return whether the processor computes in bfloat16; emulation would be slower."""
    return not _features().isdisjoint(_BF16)


@cache
def core() -> "openvino.Core":
    """Return the process's one core of OpenVINO.

    Each core gives its thread a stack for signals, and takes it away when it ends. If two cores end
    in the order of their making, the thread has a stack that is gone: the next signal that Python
    handles kills the process (SIGSEGV; OpenVINO 2026.4, processors with AMX).
    """
    import openvino  # not above: it takes memory in processes that compile nothing

    return openvino.Core()


def compile_model(
    model: "openvino.Model", precision: str, threads: int
) -> "openvino.CompiledModel":
    """Compile a network for one batch at a time.

    Args:
        model: the network; its inputs and outputs stay float32.
        precision: `fp32` or `bf16`, of what is not quantised.
        threads: processor threads for one forward pass.

    Raises:
        UnsupportedError: this processor does not compute in the precision.
    """
    compiled = core().compile_model(
        model,
        "CPU",
        {
            # Its default is bf16 where the processor computes in it.
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # Processes share the cores, so none may be bound to some of them.
            "ENABLE_CPU_PINNING": False,
        },
    )
    computed = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if computed != _HINTS[precision]:
        raise UnsupportedError(f"this processor computes in {computed}, not in {precision}")
    return compiled


def _features() -> set[str]:
    """Return what the processor can do, by Linux's names: `flags` on x86, `Features` on Arm."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()

"""What every benchmark does with its figures: sum them up, name the machine, write a file."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

RESULTS = Path(__file__).parent / "results"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and greatest of some rounds."""
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "greatest": round(max(values), 3),
    }


def this_machine() -> str:
    """Return the processor with its family and bf16 instructions, the GPUs, Python and torch."""
    cpu = Path("/proc/cpuinfo").read_text()
    names = re.findall(r"^model name\s*: (.*)$", cpu, re.MULTILINE)
    family = re.findall(r"^cpu family\s*: (.*)$", cpu, re.MULTILINE)
    bf16 = [name for name in ("avx512_bf16", "amx_bf16") if f" {name} " in cpu]
    return (
        f"{len(os.sched_getaffinity(0))} x {names[0] if names else platform.machine()}"
        f" ({', '.join([*(f'family {one}' for one in family[:1]), *(bf16 or ['no bf16'])])}),"
        f" {torch.cuda.device_count()} GPUs,"
        f" Python {platform.python_version()}, torch {torch.__version__}"
    )


# Limit the instructions of torch's and OpenVINO's oneDNN, and of torch's own loops.
ISA, LOOPS = "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"
ISAS = ("AVX2", "AVX512_CORE_VNNI")


def rerun_limited(module: str, isa: str | None) -> int | None:
    """Run a benchmark again as a process that computes with older instructions only.

    Returns:
        Its exit status; None where there is no limit, or where this process has it.
    """
    if isa is None or os.environ.get(ISA) == isa:
        return None
    command = [sys.executable, "-m", module, *sys.argv[1:]]
    limits = {ISA: isa, LOOPS: "avx2"}
    return subprocess.run(command, env=os.environ | limits, check=False).returncode


def machine_load() -> float:
    """Return the machine's load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def write(out: Path, contents: dict[str, Any]) -> None:
    """Write a result file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(contents, indent=1) + "\n")

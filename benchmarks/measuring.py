"""What every benchmark does with its figures: sum them up, name the machine, write a file."""

import json
import os
import platform
import re
import statistics
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
    """Return the processor with its bf16 instructions, the GPUs, Python and torch."""
    cpu = Path("/proc/cpuinfo").read_text()
    names = re.findall(r"^model name\s*: (.*)$", cpu, re.MULTILINE)
    bf16 = [name for name in ("avx512_bf16", "amx_bf16") if f" {name} " in cpu]
    return (
        f"{len(os.sched_getaffinity(0))} x {names[0] if names else platform.machine()}"
        f" ({', '.join(bf16) or 'no bf16'}), {torch.cuda.device_count()} GPUs,"
        f" Python {platform.python_version()}, torch {torch.__version__}"
    )


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

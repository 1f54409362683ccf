"""Everything that only a GPU can show, in one run of under 8 minutes without a network.

It trains, serves and records on one GPU and compares: bf16 with fp32, photos with ready tensors, a
policy in the workers with one on the device, recorded steps with plain ones, and the bundle's
golden answers on CPU and GPU. The photos are made up and the weights random, so accuracy means
nothing here. What is compared takes turns. A part that fails is a row of the table, with its error.

    benchmarks/gpu.sh carry 3.12        # where there is a network: wheels for the GPU's machine
    benchmarks/gpu.sh                   # on the GPU's machine: installs them and runs this
    python -m benchmarks.gpu [--dry] [--seconds 420] [--out benchmarks/results/gpu.json]

`--dry` tries every part on small pictures, on whatever device is there; it writes no result file
unless `--out` is given.
"""

import argparse
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu_parts import PARTS, Bench, Rows
from benchmarks.measuring import RESULTS, machine_load, this_machine, write


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="small, on any device")
    parser.add_argument("--seconds", type=float, default=420, help="begin no part after this time")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.dry and not torch.cuda.is_available():
        parser.error("there is no GPU: --dry tries the parts on the CPU")
    began = time.monotonic()
    parts: dict[str, Rows] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.dry)
        for name in options.parts.split(","):
            parts[name] = attempt(bench, name, options.seconds - (time.monotonic() - began))
    found = {
        "command": shlex.join(["benchmarks/gpu.sh", *sys.argv[1:]]),
        "seconds": round(time.monotonic() - began, 1),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "network": bench.architecture,
        "batch_size": bench.batch_size,
        "side": bench.side,
        "parts": parts,
        "machine": this_machine(),
        "load": machine_load(),
    }
    out = options.out or (None if options.dry else RESULTS / "gpu.json")
    if out:
        write(out, found)
    print(table(parts))
    return int(any("error" in rows for rows in parts.values()))


def attempt(bench: Bench, name: str, seconds: float) -> Rows:
    """Return the rows of a part; its error if it fails, because the other parts still count."""
    if seconds <= 0:
        return {"skipped": "no time left"}
    began = time.monotonic()
    try:
        rows = PARTS[name](bench)
    except Exception as error:
        traceback.print_exc()
        rows = {"error": f"{type(error).__name__}: {error}"}
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return rows | {"seconds of this part": round(time.monotonic() - began, 1)}


def table(parts: dict[str, Rows]) -> str:
    """Return all rows as one table."""
    lines = [
        (part, name, shown(value)) for part, rows in parts.items() for name, value in rows.items()
    ]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    return "\n".join(
        f"{part:{widths[0]}}  {name:{widths[1]}}  {value}" for part, name, value in lines
    )


def shown(value: object) -> str:
    if isinstance(value, dict):
        return f"{value['median']:,.6g} ({value['least']:,.6g} to {value['greatest']:,.6g})"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return str(value)


if __name__ == "__main__":
    raise SystemExit(main())

"""`kill -9` at random moments of a small CPU job: does it end with the same weights?

One job is killed and started again, `--kills` times. Its final weights must equal those of a job
that ran through, bit for bit. A checkpoint is written after every step. The results of runs with
other seeds add up in one file.

    python -m benchmarks.resume [--kills 25] [--epochs 20] [--seed 1]
        [--out benchmarks/results/resume.json]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.measuring import RESULTS, write
from scripts.make import digits
from tests.train import kill_and_resume


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "resume.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        digits.write(root / "digits", limit=200)
        began = time.monotonic()
        kill_and_resume.survive(root / "unbroken", root / "digits", options.epochs, 0, seed=0)
        unbroken = time.monotonic() - began
        killed = kill_and_resume.survive(
            root / "killed", root / "digits", options.epochs, options.kills, seed=options.seed
        )
        one, other = (kill_and_resume.weights(root / name) for name in ("unbroken", "killed"))
    alike = all(torch.equal(one[name], other[name]) for name in one)
    piece = {
        "command": f"python -m benchmarks.resume --kills {options.kills} --epochs {options.epochs} "
        f"--seed {options.seed}",
        "kills": killed,
        "bit_identical": alike,
        "unbroken_s": round(unbroken, 1),
        "killed_s": round(time.monotonic() - began - unbroken, 1),
    }
    pieces = json.loads(options.out.read_text())["pieces"] if options.out.is_file() else []
    pieces = [one for one in pieces if one["command"] != piece["command"]] + [piece]
    found = {
        "kills": sum(one["kills"] for one in pieces),
        "bit_identical": all(one["bit_identical"] for one in pieces),
        "pieces": pieces,
    }
    write(options.out, found)
    print(json.dumps(found, indent=2))
    return int(not alike or killed < options.kills)


if __name__ == "__main__":
    raise SystemExit(main())

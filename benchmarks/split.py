"""How long the split of 10,000 classes takes, and the whole reading of their folder.

The split is compared with that of as many pictures in 20 classes, the reading with a bare walk
through the folder. Each pair takes turns.

    python -m benchmarks.split [--rounds 7] [--out benchmarks/results/split.json]
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write
from pictures import channels
from pictures.picture import Picture
from pictures.split import split

CLASSES, EACH, FEW = 10_000, 20, 20
SHARES = {"valid": 0.15, "test": 0.15}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS / "split.json")
    options = parser.parse_args()
    many = pictures(CLASSES)
    few = pictures(FEW)
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        measured: dict[str, Callable[[], object]] = {
            "split_10000_classes": lambda: split(*many, SHARES, 0),
            "split_20_classes": lambda: split(*few, SHARES, 0),
            "walk": lambda: sum(len(files) for _, _, files in os.walk(folder)),
            "find": lambda: channels.find(
                {"photos": Path(folder)}, split_seed=0, valid_fraction=0.15, test_fraction=0.15
            ),
        }
        took: dict[str, list[float]] = {name: [] for name in measured}
        for turn in range(options.rounds + 1):
            for name, do in measured.items():
                began = time.perf_counter()
                do()
                if turn:  # the first fills the disk's cache
                    took[name].append(time.perf_counter() - began)
    ratios = [
        one / other
        for one, other in zip(took["split_10000_classes"], took["split_20_classes"], strict=True)
    ]
    found = {
        "pictures": CLASSES * EACH,
        "rounds": options.rounds,
        "seconds": {name: spread(seconds) for name, seconds in took.items()},
        "split_ratio_10000_to_20_classes": spread(ratios),
        "machine": this_machine(),
        "load": machine_load(),
    }
    write(options.out, found)
    print(json.dumps(found, indent=2))
    return 0


def pictures(classes: int) -> tuple[list[Picture], list[str]]:
    """Return 200,000 pictures in so many classes, and the names of the classes."""
    folders = [f"class{number:05d}" for number in range(classes)]
    each = CLASSES * EACH // classes
    return [
        Picture(Path(f"/photos/{folder}/{index}.jpg"), label, name=f"{index}.jpg", size=index)
        for label, folder in enumerate(folders)
        for index in range(each)
    ], folders


def lay_out(root: Path) -> None:
    """Write 200,000 files of 1 to 4 KiB; as in photos, few have the same size and ending."""
    draw = random.Random(0)  # noqa: S311
    for number in range(CLASSES):
        folder = root / f"class{number:05d}"
        folder.mkdir()
        for index in range(EACH):
            (folder / f"{index}.jpg").write_bytes(draw.randbytes(draw.randrange(1024, 4096)))


if __name__ == "__main__":
    sys.exit(main())

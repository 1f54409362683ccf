r"""What the server does with a bad bundle, a hung model, too little memory and a full disk.

Each condition is tried once on a server of its own, under load where load matters. The outcomes go
into the file of benchmarks/serving_faults.py. A full disk needs root, to mount a small tmpfs.

    python -m benchmarks.serving_conditions
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.clients import Load, classify, ping
from benchmarks.measuring import RESULTS, write
from classifier import bundle, networks
from tests.serve.conftest import CLASSES, small
from tests.serve.running import Running, gone, serving, until

# Answers pictures until the file `order` tells it to hang or to grow.
_CODE = """
import pathlib, time
order = pathlib.Path({order!r})
held = []
def predict_fn(data, model):
    now = order.read_text() if order.exists() else ""
    if now == "hang":
        order.unlink()
        time.sleep(3600)
    if now == "grow":
        held.append(bytearray(b"x" * 40_000_000))
    return model(data)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--out", type=Path, default=RESULTS / "serving-faults.json")
    options = parser.parse_args()
    contents = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.only:
        with tempfile.TemporaryDirectory() as directory:
            base = small(Path(directory))
            base.chmod(0o755)
            found = CONDITIONS[name](base)
        print(name, json.dumps(found), flush=True)
        contents.setdefault("conditions", {})[name] = found
        write(options.out, contents)
    return int(not all(one["as promised"] for one in contents["conditions"].values()))


def refused(reason: str, spoil: Callable[[Path], None]) -> Callable[[Path], dict[str, Any]]:
    """Return the check of a bundle that must be refused: no 200, exit 1 with the reason."""

    def condition(base: Path) -> dict[str, Any]:
        spoil(base / "model")
        statuses = set()
        with serving(base) as running:
            while running.process.poll() is None:
                statuses.add(ping(running.port))
                time.sleep(0.05)
            last = running.log.splitlines()[-1]
        return {
            "pings": sorted(statuses),
            "exit": running.process.returncode,
            "last line": last.partition("kennel: ")[2].replace(str(base), "…"),
            "as promised": 200 not in statuses
            and running.process.returncode == 1
            and reason in last,
        }

    return condition


def flip_a_bit(model: Path) -> None:
    weights = model / bundle.MODEL
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)


def remove_golden(model: Path) -> None:
    (model / bundle.GOLDEN).unlink()


def shift_golden(model: Path) -> None:
    loaded = bundle.load(model)
    golden = bundle.Golden(loaded.golden.photos, loaded.golden.logits + 0.5)
    bundle.save(bundle.Bundle(loaded.description, loaded.network, golden), model)


def add_a_class(model: Path) -> None:
    """Write the weights of a network with one class more than the description has."""
    loaded = bundle.load(model)
    other = networks.build("resnet18", len(CLASSES) + 1).eval()
    bundle.save(bundle.Bundle(loaded.description, other, loaded.golden), model)


@contextlib.contextmanager
def custom(base: Path, **settings: str) -> Iterator[tuple[Running, Path]]:
    """Run a server with the code above; yield it and its file `order`."""
    order, code = base / "order", base / "inference.py"
    code.write_text(_CODE.format(order=str(order)))
    base.chmod(0o777)
    with serving(base, KENNEL_CODE=str(code), **settings) as running:
        running.wait_for_ping(200)
        yield running, order


def replaced(running: Running, load: Load, began: float) -> dict[str, Any]:
    """Wait until the worker is replaced and pictures are answered again."""
    (_, worker) = running.parts("worker")
    until(lambda: gone(worker) or None)
    ended = time.monotonic() - began
    running.wait_for_ping(200)
    answered = classify(running.port) == 200
    return {
        "ended after s": round(ended, 1),
        "answering again after s": round(time.monotonic() - began, 1),
        "requests answered": load.answered,
        "requests lost": len(load.failed),
        "as promised": answered and running.process.poll() is None,
    }


def hung_computation(base: Path) -> dict[str, Any]:
    """One request never returns; the limit for a batch is five seconds."""
    with custom(base, KENNEL_HUNG_SECONDS="5") as (running, order):
        load = Load(running.port)
        with load.running():
            until(lambda: load.answered > 20 or None)
            began = time.monotonic()
            order.write_text("hang")
            return replaced(running, load, began)


def stopped_worker(base: Path) -> dict[str, Any]:
    """SIGSTOP: the process exists and does nothing."""
    with serving(base, KENNEL_HUNG_SECONDS="5") as running:
        running.wait_for_ping(200)
        load = Load(running.port)
        with load.running():
            until(lambda: load.answered > 20 or None)
            began = time.monotonic()
            running.parts("worker")[1].suspend()
            return replaced(running, load, began)


def memory_outgrown(base: Path) -> dict[str, Any]:
    """Every request leaks 40 MB; the limit is a gigabyte."""
    with custom(base, KENNEL_WORKER_MEMORY_MB="1000") as (running, order):
        load = Load(running.port)
        with load.running():
            until(lambda: load.answered > 20 or None)
            began = time.monotonic()
            order.write_text("grow")
            until(lambda: "over the limit of 1000 MiB" in running.log or None)
            order.unlink()
            return replaced(running, load, began)


@contextlib.contextmanager
def small_disk(base: Path) -> Iterator[Path]:
    """Mount a tmpfs of 8 MB for the run directory."""
    place = base / "run"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=1777", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(place: Path) -> None:
    with contextlib.suppress(OSError), (place / "full").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def disk_full(base: Path) -> dict[str, Any]:
    """The run directory fills up under load; then the worker is killed too."""
    with small_disk(base) as place, serving(base, KENNEL_RUN_DIR=str(place)) as running:
        running.wait_for_ping(200)
        load = Load(running.port)
        with load.running():
            until(lambda: load.answered > 20 or None)
            fill(place)
            so_far, lost = load.answered, len(load.failed)
            until(lambda: load.answered > so_far + 200 or None)
            answered_on = load.answered - so_far
            lost = len(load.failed) - lost
        running.parts("worker")[1].kill()
        lies, recovered = 0, False
        began = time.monotonic()
        while running.process.poll() is None and not recovered and time.monotonic() - began < 150:
            if ping(running.port) == 200:
                recovered = classify(running.port) == 200
                lies += not recovered and ping(running.port) == 200
            time.sleep(0.05)
        code = running.process.poll()
        return {
            "requests answered while full": answered_on,
            "requests lost while full": lost,
            "then the worker killed": "recovered" if recovered else f"exit {code}",
            "after s": round(time.monotonic() - began, 1),
            "lies of /ping": lies,
            "as promised": not lost and not lies and (recovered or bool(code)),
        }


def disk_full_from_the_start(base: Path) -> dict[str, Any]:
    with small_disk(base) as place:
        fill(place)
        with serving(base, KENNEL_RUN_DIR=str(place)) as running:
            code = running.wait_for_end()
            last = running.log.splitlines()[-1]
    return {"exit": code, "last line": last, "as promised": code == 1 and "No space" in last}


def port_in_use(base: Path) -> dict[str, Any]:
    with serving(base) as first:
        first.wait_for_ping(200)
        with serving(base, SAGEMAKER_BIND_TO_PORT=str(first.port)) as second:
            code = second.wait_for_end()
            last = second.log.splitlines()[-1].partition("kennel: ")[2]
    return {"exit": code, "last line": last, "as promised": code == 1 and "nginx" in last}


CONDITIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "a corrupt bundle": refused("changed or damaged", flip_a_bit),
    "a missing file": refused("is missing", remove_golden),
    "no bundle": refused("there is no bundle", shutil.rmtree),
    "a wrong class count": refused("classes", add_a_class),
    "drifted golden inputs": refused("golden inputs", shift_golden),
    "a hung computation": hung_computation,
    "a stopped worker": stopped_worker,
    "memory outgrown": memory_outgrown,
    "disk full": disk_full,
    "disk full from the start": disk_full_from_the_start,
    "port in use": port_in_use,
}

if __name__ == "__main__":
    torch.manual_seed(0)
    sys.exit(main())

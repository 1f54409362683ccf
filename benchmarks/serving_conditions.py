r"""What the server does with a bad bundle, a hung model, too little memory and a full disk.

Each condition is made once on a server of its own, under load where it matters, and the outcome is
written into the same file as the kills' (benchmarks/serving_faults.py). Disk full needs root, for a
small tmpfs.

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

from benchmarks.serving_faults import PICTURES, Load, ask
from classifier import bundle, networks
from tests.serve.conftest import CLASSES, small
from tests.serve.running import Running, gone, serving, until

# A picture like any other, until the file says how the next one is to end.
_CODE = """
import pathlib, time
order = pathlib.Path({order!r})
kept = []
def predict_fn(data, model):
    wish = order.read_text() if order.exists() else ""
    if wish == "hang":
        order.unlink()
        time.sleep(3600)
    if wish == "grow":
        kept.append(bytearray(b"x" * 40_000_000))
    return model(data)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serving-faults.json"))
    given = parser.parse_args()
    contents = json.loads(given.out.read_text()) if given.out.exists() else {}
    for name in given.only:
        with tempfile.TemporaryDirectory() as directory:
            base = small(Path(directory))
            base.chmod(0o755)
            found = CONDITIONS[name](base)
        print(name, json.dumps(found), flush=True)
        contents.setdefault("conditions", {})[name] = found
        given.out.write_text(json.dumps(contents, indent=1) + "\n")
    return int(not all(one["as promised"] for one in contents["conditions"].values()))


def refused(reason: str, spoil: Callable[[Path], None]) -> Callable[[Path], dict[str, Any]]:
    """Return the check of a bundle that is to be refused: never a 200, exit 1 with the reason."""

    def condition(base: Path) -> dict[str, Any]:
        spoil(base / "model")
        statuses = set()
        with serving(base) as running:
            while running.process.poll() is None:
                statuses.add(ask(running.port, timeout=5))
                time.sleep(0.05)
            last = running.log.splitlines()[-1]
        return {
            "pings": sorted(statuses),
            "exit": running.process.returncode,
            "last line": last.partition("kennel: ")[2].replace(str(base), "…"),
            "as promised": "200" not in statuses
            and running.process.returncode == 1
            and reason in last,
        }

    return condition


def tamper(model: Path) -> None:
    weights = model / bundle.MODEL
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)


def lose(model: Path) -> None:
    (model / bundle.GOLDEN).unlink()


def drift(model: Path) -> None:
    true = bundle.load(model)
    golden = bundle.Golden(true.golden.photos, true.golden.logits + 0.5)
    bundle.save(bundle.Bundle(true.description, true.network, golden), model)


def miscount(model: Path) -> None:
    """Write the weights of a network with one class more than the description says."""
    true = bundle.load(model)
    other = networks.build("resnet18", len(CLASSES) + 1).eval()
    bundle.save(bundle.Bundle(true.description, other, true.golden), model)


@contextlib.contextmanager
def custom(base: Path, **settings: str) -> Iterator[tuple[Running, Path]]:
    """Run a server with the code above; yield it and the file of orders."""
    order, code = base / "order", base / "inference.py"
    code.write_text(_CODE.format(order=str(order)))
    base.chmod(0o777)
    with serving(base, KENNEL_CODE=str(code), **settings) as running:
        running.wait_for_ping(200)
        yield running, order


def replaced(running: Running, load: Load, begun: float) -> dict[str, Any]:
    """Wait until the worker is another and pictures are answered."""
    (_, worker) = running.parts("worker")
    until(lambda: gone(worker) or None)
    ended = time.monotonic() - begun
    running.wait_for_ping(200)
    answered = ask(running.port, PICTURES[0]) == "200"
    return {
        "ended after s": round(ended, 1),
        "answering again after s": round(time.monotonic() - begun, 1),
        "requests answered": load.answered,
        "requests lost": len(load.failed),
        "as promised": answered and running.process.poll() is None,
    }


def hung_computation(base: Path) -> dict[str, Any]:
    """One request never comes back; the limit for a batch is five seconds."""
    with custom(base, KENNEL_HUNG_SECONDS="5") as (running, order):
        load = Load(running.port)
        with load.running():
            until(lambda: load.answered > 20 or None)
            begun = time.monotonic()
            order.write_text("hang")
            return replaced(running, load, begun)


def stopped_worker(base: Path) -> dict[str, Any]:
    """SIGSTOP: the process is there and does nothing."""
    with serving(base, KENNEL_HUNG_SECONDS="5") as running:
        running.wait_for_ping(200)
        load = Load(running.port)
        with load.running():
            until(lambda: load.answered > 20 or None)
            begun = time.monotonic()
            running.parts("worker")[1].suspend()
            return replaced(running, load, begun)


def memory_outgrown(base: Path) -> dict[str, Any]:
    """Every request keeps 40 MB; the limit is a gigabyte."""
    with custom(base, KENNEL_WORKER_MEMORY_MB="1000") as (running, order):
        load = Load(running.port)
        with load.running():
            until(lambda: load.answered > 20 or None)
            begun = time.monotonic()
            order.write_text("grow")
            until(lambda: "over 1000 MiB" in running.log or None)
            order.unlink()
            return replaced(running, load, begun)


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
    """The run directory fills up under load; then the worker dies too."""
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
        begun = time.monotonic()
        while running.process.poll() is None and not recovered and time.monotonic() - begun < 150:
            if ask(running.port, timeout=5) == "200":
                recovered = ask(running.port, PICTURES[0]) == "200"
                lies += not recovered and ask(running.port, timeout=5) == "200"
            time.sleep(0.05)
        code = running.process.poll()
        return {
            "requests answered while full": answered_on,
            "requests lost while full": lost,
            "then the worker killed": "recovered" if recovered else f"exit {code}",
            "after s": round(time.monotonic() - begun, 1),
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
    "a corrupt bundle": refused("changed or damaged", tamper),
    "a missing file": refused("is missing", lose),
    "no bundle": refused("no kennel.json", shutil.rmtree),
    "a wrong class count": refused("classes", miscount),
    "drifted golden inputs": refused("golden inputs", drift),
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

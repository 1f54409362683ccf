"""Requests a second and latency: Kennel, the stock stack, Ray Serve, LitServe and the bare model.

All servers run at once on loopback and are measured in turns, so that other load on the machine
slows all alike; the other servers are paused while one is measured (Kennel and Ray cannot be: they
would replace what hangs). The bounds are decoding and forward passes alone, in this process.

- `stock`: multi-model-server and sagemaker-inference with the plain handler in benchmarks/stock
- `ray`: Ray Serve with its batching around that handler; AWS points to its image
- `litserve torch`: LitServe with batches around that handler; `litserve`: around our own engine
- `kennel before`: the checkout of `--before` with torch, as it served before there were exports
- `kennel fp32`, `kennel bf16`, `kennel int8`: what the bundle and the processor allow of them

Needs wrk. Ray and LitServe are in no lock: they are read from a folder of their own. Without
`--bundle` it is ImageNet's ResNet50 for the ten breeds of dogs, with both exports.

    pip install --target build/other-servers 'ray[serve]' litserve python-multipart
    git worktree add --detach build/before d453bce
    OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=5000 python -m benchmarks.serving \
        --others build/other-servers --before build/before [--bundle BUNDLE] [--photos FOLDER]

The variables make the bound compute as the servers do. A round takes about 90 s. `--isa AVX2` shows
what an older processor gets.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks import bundles
from benchmarks.measuring import (
    ISA,
    ISAS,
    RESULTS,
    machine_load,
    rerun_limited,
    spread,
    this_machine,
    write,
)
from benchmarks.servers import Place, alone, jpegs, kennel, litserve, load, ray_serve, stock
from benchmarks.training import REAL
from classifier import description, processor
from serve.engines import choice
from serve.engines.engine import warm
from serve.settings import Settings

PRECISIONS = ("fp32", "bf16", "int8")


def _ratios() -> dict[str, tuple[str, str, str, float | None]]:
    """Return name: (numerator, denominator, figure, goal); `best` is the fastest precision."""
    found: dict[str, tuple[str, str, str, float | None]] = {}
    for precision, goal in {"fp32": 1.5, "bf16": 3.0, "int8": 4.5}.items():
        ours, bound = f"kennel {precision}", f"bound {precision}"
        found[f"throughput, {ours} / stock"] = (ours, "stock", "requests_per_s", goal)
        found[f"throughput, {ours} / bound"] = (ours, bound, "requests_per_s", 0.9)
        found[f"processor time of a picture, bound / {ours}"] = (bound, ours, "cpu_ms", 0.9)
        found[f"processor time of a picture, stock / {ours}"] = ("stock", ours, "cpu_ms", goal)
        found[f"p50 alone, {ours} / stock"] = (ours, "stock", "p50_ms_alone", None)
        found[f"p99 at saturation, {ours} / stock"] = (ours, "stock", "p99_ms", None)
    others = {"ray": 1.5, "litserve torch": 1.5, "litserve": 1.0, "kennel before": None}
    for other, least in others.items():
        best = "kennel best"
        found[f"throughput, {best} / {other}"] = (best, other, "requests_per_s", least)
        found[f"p50 alone, {best} / {other}"] = (best, other, "p50_ms_alone", None)
        found[f"p99 at saturation, {best} / {other}"] = (best, other, "p99_ms", None)
    before = ("kennel int8", "kennel before", "requests_per_s", 1.8)
    found["throughput, kennel int8 / kennel before"] = before
    found["p50 alone, kennel best / stock"] = ("kennel best", "stock", "p50_ms_alone", 0.3)
    found["throughput, litserve / bound"] = ("litserve", "bound best", "requests_per_s", None)
    return found


Round = dict[str, dict[str, float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="a ResNet50's with exports")
    parser.add_argument("--photos", type=Path, default=REAL / "dogs" / "test", help="JPEGs")
    parser.add_argument("--others", type=Path, help="where pip put Ray and LitServe")
    parser.add_argument("--before", type=Path, help="a checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="for the bound and one client")
    parser.add_argument("--saturated-seconds", type=int, default=5, help="for many clients")
    parser.add_argument("--clients", type=int, default=16, help="at saturation")
    parser.add_argument("--isa", choices=ISAS, help="of oneDNN, in all servers")
    parser.add_argument("--out", type=Path, default=RESULTS / "serving.json")
    options = parser.parse_args()
    if (ended := rerun_limited("benchmarks.serving", options.isa)) is not None:
        return ended
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers end too
    photos = jpegs(options.photos, 64)
    load_before = machine_load()
    with contextlib.ExitStack() as everything:
        place = Place(Path(everything.enter_context(tempfile.TemporaryDirectory())), photos)
        bundle = options.bundle
        if bundle is None:
            bundle = place.directory / "bundle"
            bundle.mkdir()
            bundles.of_dogs(bundle)
        precisions = possible(bundle)
        sides = [stock(bundle, place)]
        sides += [
            kennel(f"kennel {name}", bundle, place, KENNEL_PRECISION=name) for name in precisions
        ]
        if options.before:
            checkout = options.before.resolve()
            sides.append(kennel("kennel before", bundle, place, checkout, KENNEL_ENGINE="torch"))
        if options.others:
            others = options.others.resolve()
            sides.append(litserve("litserve", "lit.py", bundle, place, others))
            sides.append(litserve("litserve torch", "lit_torch.py", bundle, place, others))
            sides.append(ray_serve(bundle, place, others))
        servers = []
        for side in sides:
            began = time.perf_counter()
            servers.append(everything.enter_context(side))
            print(f"{servers[-1].name} {time.perf_counter() - began:.1f} s", flush=True)
        bodies = [photo.read_bytes() for photo in photos]
        bounds = {f"bound {name}": Bound(bundle, bodies, name) for name in precisions}
        contents = {
            "command": f"python -m benchmarks.serving --rounds {options.rounds}"
            f" --seconds {options.seconds} --saturated-seconds {options.saturated_seconds}"
            f" --clients {options.clients}"
            + (" --others …" if options.others else "")
            + (" --before …" if options.before else "")
            + (f" --isa {options.isa}" if options.isa else ""),
            "machine": this_machine(),
            "best precision": precisions[-1],
            "layout": str(bounds["bound fp32"].layout),
            "load before": load_before,
            "clients at saturation": options.clients,
        }
        for server in servers:
            load(server, clients=options.clients, seconds=1)
        rounds: list[Round] = []
        for turn in range(options.rounds):
            found: Round = {}
            for name, bound in bounds.items():
                with alone(servers):
                    found[name] = bound.measure(options.seconds)
            for server in servers[:: -1 if turn % 2 else 1]:
                with alone(servers, server):
                    load(server, clients=1, seconds=1)  # a server that was paused is slow at first
                    one = load(server, clients=1, seconds=options.seconds)
                    many = load(server, clients=options.clients, seconds=options.saturated_seconds)
                found[server.name] = {
                    "p50_ms_alone": one["p50_ms"],
                    "p99_ms_alone": one["p99_ms"],
                    "requests_per_s": many["requests_per_s"],
                    "p99_ms": many["p99_ms"],
                    "cpu_ms": many["cpu_ms"],
                    "errors": one["errors"] + many["errors"],
                }
                print(server.name, found[server.name], flush=True)
            rounds.append(found)
            summed = {"ratios": ratios(rounds), "figures": figures(rounds), "rounds": rounds}
            write(options.out, contents | summed)
    print(table(rounds))
    return 0


def possible(model: Path) -> list[str]:
    """Return the precisions that the bundle and this processor have, the fastest last."""
    export = description.describe(model).export
    has = {
        "fp32": True,
        "bf16": processor.computes_bf16() and ISA not in os.environ,
        "int8": export is not None and export.int8 is not None,
    }
    return [name for name in PRECISIONS if has[name]]


def ratios(rounds: list[Round]) -> dict[str, dict[str, float | None]]:
    """Return each ratio, taken within a round, over all rounds, with its goal."""
    best = [name for name in PRECISIONS if f"kennel {name}" in rounds[0]][-1]
    found: dict[str, dict[str, float | None]] = {}
    for name, (*sides, figure, goal) in _ratios().items():
        above, below = (side.replace("best", best) for side in sides)
        if {above, below} <= set(rounds[0]):
            values = [one[above][figure] / one[below][figure] for one in rounds]
            found[name] = {**spread(values), "goal": goal}
    return found


def table(rounds: list[Round]) -> str:
    """Return the ratios as rows of Markdown."""
    lines = ["| ratio | median (least to greatest) | goal |", "|---|---|---|"]
    for name, one in ratios(rounds).items():
        goal = "" if one["goal"] is None else one["goal"]
        lines.append(f"| {name} | {one['median']} ({one['least']} to {one['greatest']}) | {goal} |")
    return "\n".join(lines)


def figures(rounds: list[Round]) -> dict[str, dict[str, float]]:
    return {
        f"{name} {figure}": spread([one[name][figure] for one in rounds])
        for name in rounds[0]
        for figure in rounds[0][name]
    }


class Bound:
    """Decoding and forward passes in full batches, with nothing around them."""

    def __init__(self, model: Path, photos: list[bytes], precision: str) -> None:
        settings = Settings.from_environment({"KENNEL_PRECISION": precision})
        chosen = choice.choose(model, settings)
        self._photos, self._engine = photos, chosen.engine
        self.precision = chosen.engine.precision
        self._transform = chosen.description.transform
        self.layout = settings.layout
        self._decoders = ThreadPoolExecutor(self.layout.threads)
        warm(self._engine, self._transform.crop, self.layout.batch_size)

    def measure(self, seconds: float) -> dict[str, float]:
        """Return pictures a second and the processor time of one picture."""
        photos = cycle(self._photos)
        began, done, cpu = time.perf_counter(), 0, time.process_time()
        while time.perf_counter() - began < seconds:
            batch = islice(photos, self.layout.batch_size)
            self._engine.predict(np.stack(list(self._decoders.map(self._transform.read, batch))))
            done += self.layout.batch_size
        return {
            "requests_per_s": done / (time.perf_counter() - began),
            "cpu_ms": 1e3 * (time.process_time() - cpu) / done,
        }


if __name__ == "__main__":
    sys.exit(main())

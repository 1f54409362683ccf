"""Requests a second and latency: Kennel, the stock stack, LitServe and the bare model.

All servers run at once on loopback and are measured in turns, so that other load on the machine
slows all alike; the other servers are paused while one is measured (Kennel's cannot be: its
supervisor would replace them). The bound is decoding and forward passes alone, in this process. The
stock stack is multi-model-server and sagemaker-inference with the plain handler in
benchmarks/stock. LitServe runs Kennel's own decoder and predictor, so that only the servers differ.
Needs wrk.

    OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=5000 python -m benchmarks.serving \
        --bundle build/dogs-…/model --photos ../shared/data/dogs/test

The variables make the bound compute as the servers do.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write
from benchmarks.servers import Place, alone, jpegs, kennel, litserve, load, stock
from serve import machine
from serve.engines import choice
from serve.engines.engine import warm
from serve.settings import Settings

# Name: (numerator, denominator, figure, goal). `auto` is bf16 and left out where the processor has
# none; `best` is the precision that LitServe computes in too.
RATIOS = {
    "throughput, kennel in bf16 / stock": ("kennel auto", "stock", "requests_per_s", 3.0),
    "throughput, kennel in fp32 / stock": ("kennel fp32", "stock", "requests_per_s", 1.3),
    "throughput, kennel in bf16 / bound": ("kennel auto", "bound auto", "requests_per_s", 0.85),
    "throughput, kennel in fp32 / bound": ("kennel fp32", "bound fp32", "requests_per_s", 0.85),
    "processor time of a picture, bound / kennel in bf16": (
        *("bound auto", "kennel auto", "cpu_ms"),
        0.85,
    ),
    "processor time of a picture, bound / kennel in fp32": (
        *("bound fp32", "kennel fp32", "cpu_ms"),
        0.85,
    ),
    "processor time of a picture, bound / litserve": ("bound best", "litserve", "cpu_ms", None),
    "processor time of a picture, stock / kennel in bf16": (
        *("stock", "kennel auto", "cpu_ms"),
        3.0,
    ),
    "processor time of a picture, stock / kennel in fp32": (
        *("stock", "kennel fp32", "cpu_ms"),
        1.3,
    ),
    "throughput, litserve / bound": ("litserve", "bound best", "requests_per_s", None),
    "throughput, kennel / litserve": ("kennel best", "litserve", "requests_per_s", None),
    "p50 alone, kennel in bf16 / stock": ("kennel auto", "stock", "p50_ms_alone", 0.5),
    "p50 alone, kennel in fp32 / stock": ("kennel fp32", "stock", "p50_ms_alone", 0.5),
    "p50 alone, kennel / litserve": ("kennel best", "litserve", "p50_ms_alone", None),
    "p99 at saturation, kennel in bf16 / stock": ("kennel auto", "stock", "p99_ms", None),
    "p99 at saturation, kennel in fp32 / stock": ("kennel fp32", "stock", "p99_ms", None),
    "p99 at saturation, kennel / litserve": ("kennel best", "litserve", "p99_ms", None),
}
Round = dict[str, dict[str, float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="a ResNet50's")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="for the bound and one client")
    parser.add_argument("--saturated-seconds", type=int, default=5, help="for many clients")
    parser.add_argument("--clients", type=int, default=16, help="at saturation")
    parser.add_argument("--without-litserve", action="store_true", help="which pip would download")
    parser.add_argument("--out", type=Path, default=RESULTS / "serving.json")
    options = parser.parse_args()
    photos = jpegs(options.photos, 64)
    load_before = machine_load()
    with contextlib.ExitStack() as everything:
        place = Place(Path(everything.enter_context(tempfile.TemporaryDirectory())), photos)
        precisions = ("fp32", "auto") if machine.computes_bf16() else ("fp32",)
        sides = [stock(options.bundle, place)]
        sides += [
            kennel(f"kennel {name}", options.bundle, place, KENNEL_PRECISION=name)
            for name in precisions
        ]
        if not options.without_litserve:
            sides.append(litserve(options.bundle, place))
        servers = [everything.enter_context(side) for side in sides]
        bodies = [photo.read_bytes() for photo in photos]
        bounds = {f"bound {name}": Bound(options.bundle, bodies, name) for name in precisions}
        for server in servers:
            load(server, clients=options.clients, seconds=3)
        rounds = []
        for turn in range(options.rounds):
            found: Round = {}
            for name, bound in bounds.items():
                with alone(servers):
                    found[name] = bound.measure(options.seconds)
            for server in servers[:: -1 if turn % 2 else 1]:
                with alone(servers, server):
                    load(server, clients=1, seconds=2)  # a server that was paused is slow at first
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
            print(json.dumps(found), flush=True)
            rounds.append(found)
    contents = {
        "command": f"python -m benchmarks.serving --rounds {options.rounds}"
        f" --seconds {options.seconds} --saturated-seconds {options.saturated_seconds}"
        f" --clients {options.clients} --bundle … --photos …",
        "machine": this_machine(),
        "precision of auto": bounds[f"bound {precisions[-1]}"].precision,
        "layout": str(bounds["bound fp32"].layout),
        "load before": load_before,
        "clients at saturation": options.clients,
        "ratios": ratios(rounds),
        "figures": figures(rounds),
        "rounds": rounds,
    }
    write(options.out, contents)
    print(json.dumps(contents["ratios"], indent=1))
    return 0


def ratios(rounds: list[Round]) -> dict[str, dict[str, float | None]]:
    """Return each ratio, taken within a round, over all rounds, with its goal."""
    best = "auto" if "kennel auto" in rounds[0] else "fp32"
    found: dict[str, dict[str, float | None]] = {}
    for name, (*sides, figure, goal) in RATIOS.items():
        above, below = (side.replace("best", best) for side in sides)
        if {above, below} <= set(rounds[0]):
            values = [one[above][figure] / one[below][figure] for one in rounds]
            found[name] = {**spread(values), "goal": goal}
    return found


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

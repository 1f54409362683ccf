r"""Requests a second and latency: Kennel beside the stock stack and beside what the model allows.

Both servers run at once on loopback and take turns under load, so that a busy machine is busy for
both; so does the bound, decoding and forward passes alone, in this process. The stock stack
is multi-model-server and sagemaker-inference with the plain handler in benchmarks/stock. Needs wrk.

    OMP_WAIT_POLICY=PASSIVE PYTHONPATH=. python benchmarks/serving.py \
        --bundle build/dogs-…/model --photos ../shared/data/dogs/test

OMP_WAIT_POLICY is for the bound, which is to compute as the server's workers do.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import torch

from classifier import bundle
from serve import machine, model_server
from serve.predictor import Predictor, choose_device, choose_precisions

ROOT = Path(__file__).parents[1]
PATIENCE_S = 120
_LUA = """
local bodies = {}
for line in io.lines("%s") do
  local file = io.open(line, "rb"); bodies[#bodies + 1] = file:read("*a"); file:close()
end
local turn = 0
request = function()
  turn = turn %% #bodies + 1
  return wrk.format("POST", nil, {["Content-Type"] = "image/jpeg"}, bodies[turn])
end
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="a ResNet50's")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6, help="of one load")
    parser.add_argument("--clients", type=int, default=16, help="at saturation")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serving.json"))
    given = parser.parse_args()
    photos = sorted(p for p in given.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[
        :64
    ]
    with contextlib.ExitStack() as everything:
        place = Path(everything.enter_context(tempfile.TemporaryDirectory()))
        (place / "photos").write_text("".join(f"{photo.resolve()}\n" for photo in photos))
        (place / "load.lua").write_text(_LUA % (place / "photos"))
        urls = {
            "stock": everything.enter_context(stock(given.bundle.resolve(), place)),
            "kennel": everything.enter_context(kennel(given.bundle.resolve(), place)),
        }
        bound = Bound(given.bundle, [photo.read_bytes() for photo in photos])
        for url in urls.values():
            load(url, place, clients=4, seconds=3)
        rounds = []
        for turn in range(given.rounds):
            found: dict[str, dict[str, float]] = {
                "bound": {"images_per_s": bound.measure(given.seconds)}
            }
            for name in sorted(urls, reverse=turn % 2 == 0):
                one = load(urls[name], place, clients=1, seconds=given.seconds)
                many = load(urls[name], place, clients=given.clients, seconds=given.seconds)
                found[name] = {
                    "p50_ms_alone": one["p50_ms"],
                    "p99_ms_alone": one["p99_ms"],
                    "requests_per_s": many["requests_per_s"],
                    "p99_ms": many["p99_ms"],
                    "errors": one["errors"] + many["errors"],
                }
            print(json.dumps(found), flush=True)
            rounds.append(found)
    contents = {
        "machine": f"{machine.cores()} x {processor()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
        "precision": str(bound.precision),
        "layout": str(bound.layout),
        "load_at_end": round(os.getloadavg()[0], 2),
        "clients": given.clients,
        "summary": summary(rounds),
        "rounds": rounds,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(contents, indent=1) + "\n")
    print(json.dumps(contents["summary"], indent=1))
    return 0


def summary(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return median, least and greatest of each figure and of the ratios within a round."""
    series = {
        f"{name} {figure}": [one[name][figure] for one in rounds]
        for name in rounds[0]
        for figure in rounds[0][name]
    }
    series |= {
        "throughput, kennel / stock": [
            one["kennel"]["requests_per_s"] / one["stock"]["requests_per_s"] for one in rounds
        ],
        "p50 alone, kennel / stock": [
            one["kennel"]["p50_ms_alone"] / one["stock"]["p50_ms_alone"] for one in rounds
        ],
        "throughput, kennel / bound": [
            one["kennel"]["requests_per_s"] / one["bound"]["images_per_s"] for one in rounds
        ],
    }
    return {
        name: {
            "median": round(statistics.median(values), 3),
            "least": round(min(values), 3),
            "greatest": round(max(values), 3),
        }
        for name, values in series.items()
    }


class Bound:
    """Decoding and forward passes in full batches, with nothing around them."""

    def __init__(self, model: Path, photos: list[bytes]) -> None:
        loaded = bundle.load(model)
        self._photos = photos
        self._transform = loaded.description.transform
        self.layout = machine.layout(machine.cores(), machine.gpus(), machine.memory_mb())
        device = choose_device("auto")
        self.precision = choose_precisions("auto", device)[0]
        self._predictor = Predictor(loaded, device, self.layout.threads, self.precision)
        self._decoders = ThreadPoolExecutor(
            self.layout.threads, initializer=lambda: torch.set_num_threads(1)
        )
        self._predictor.warm(self._transform.crop, {self.layout.batch_size})

    def measure(self, seconds: float) -> float:
        """Return pictures a second."""
        photos = cycle(self._photos)
        begun, done = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            batch = islice(photos, self.layout.batch_size)
            self._predictor.predict(
                torch.stack(list(self._decoders.map(self._transform.read, batch)))
            )
            done += self.layout.batch_size
        return done / (time.perf_counter() - begun)


@contextlib.contextmanager
def kennel(model: Path, place: Path) -> Iterator[str]:
    """Run our server; yield its URL."""
    port = model_server.free_port()
    base = place / "ml"
    base.mkdir()
    (base / "model").symlink_to(model)
    settings = {"SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": str(port)}
    command = [sys.executable, "-m", "serve.entry"]
    with running(command, place, "kennel", settings | {"KENNEL_BIND_ADDRESS": "127.0.0.1"}):
        wait(f"http://127.0.0.1:{port}/ping")
        yield f"http://127.0.0.1:{port}/invocations"


@contextlib.contextmanager
def stock(model: Path, place: Path) -> Iterator[str]:
    """Run the stock stack, as its toolkit configures it but on loopback; yield its URL."""
    port, management = model_server.free_port(), model_server.free_port()
    store = place / "store" / "model"
    store.mkdir(parents=True)
    properties = {
        "model_store": store.parent,
        "load_models": "ALL",
        "default_service_handler": "sagemaker_inference.default_handler_service",
        "inference_address": f"http://127.0.0.1:{port}",
        "management_address": f"http://127.0.0.1:{management}",
        "default_workers_per_model": machine.cores(),
        "decode_input_request": "false",
        "async_logging": "false",
    }
    config = place / "stock.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    package = Path(model_server.__file__).parents[1]
    mms = Path(next(iter(__import__("mms").__path__)))
    command = [
        *(str(model_server.java()), f"-Dmodel_server_home={mms.parent}"),
        "-XX:-UseContainerSupport",
        *("-cp", str(mms / "frontend" / "*"), "com.amazonaws.ml.mms.ModelServer"),
        *("--python", sys.executable, "-f", str(config)),
    ]
    path = os.pathsep.join([str(package), str(ROOT / "benchmarks" / "stock")])
    settings = {"SAGEMAKER_PROGRAM": "inference.py", "PYTHONPATH": path, "STOCK_BUNDLE": str(model)}
    with running(command, place, "stock", settings):
        wait(f"http://127.0.0.1:{port}/ping")
        # It says 200 before it has loaded anything.
        time.sleep(20)
        yield f"http://127.0.0.1:{port}/invocations"


@contextlib.contextmanager
def running(command: list[str], place: Path, name: str, settings: dict[str, str]) -> Iterator[None]:
    log = place / f"{name}.log"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(place)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=place, env=environment | settings, stdout=out, stderr=out
        )
    try:
        yield
    except BaseException:
        print(log.read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait(30)


def wait(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):  # noqa: S310
            return
        time.sleep(0.5)
    raise TimeoutError(f"{url} does not answer")


def load(url: str, place: Path, *, clients: int, seconds: int) -> dict[str, float]:
    """Return what wrk saw; an error is an answer other than 2xx, or none."""
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency"),
            *("-s", str(place / "load.lua"), url),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", done)))
    for kinds in re.findall(r"Socket errors: (.*)", done):
        errors += sum(map(int, re.findall(r"\d+", kinds)))
    return {
        "p50_ms": _milliseconds(done, "50%"),
        "p99_ms": _milliseconds(done, "99%"),
        "requests_per_s": float(_found(r"Requests/sec:\s+([\d.]+)", done)[1]),
        "errors": errors,
    }


def _milliseconds(text: str, quantile: str) -> float:
    found = _found(rf"^\s+{quantile}\s+([\d.]+)(us|ms|s|m)\s*$", text)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[found[2]]


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no {pattern} in what wrk said: {text}")
    return found


def processor() -> str:
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())

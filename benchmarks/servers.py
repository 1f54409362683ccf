"""Servers on loopback, and wrk to put load on them.

Kennel as its container starts it, the stock stack, LitServe and Ray Serve.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measuring import ISA, LOOPS, family
from serve import machine
from serve.front import model_server

ROOT = Path(__file__).parents[1]
PATIENCE_S = 180
_IDLE_S = 0.2
_RAW = """
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
# LitServe's requests are JSON or forms.
_FORM = _RAW.replace('"image/jpeg"', '"multipart/form-data; boundary=b"').replace(
    "bodies[turn])",
    '\'--b\\r\\nContent-Disposition: form-data; name="picture"; filename="p"\\r\\n\\r\\n\''
    ' .. bodies[turn] .. "\\r\\n--b--\\r\\n")',
)


@dataclass(frozen=True)
class Server:
    """A running server: its URL for pictures, and the wrk script that sends them."""

    name: str
    url: str
    script: Path
    pid: int
    watched: bool = False  # has a supervisor, which would take a paused process for a hung one

    def cpu_s(self) -> float:
        """Return the processor time of all its processes, in seconds."""
        spent = 0.0
        for one in family(self.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                spent += times.user + times.system
        return spent


@contextlib.contextmanager
def alone(servers: list[Server], measured: Server | None = None) -> Iterator[None]:
    """Pause the other servers while one is measured: an idle LitServe uses a third of a core."""
    paused = [
        process
        for server in servers
        if server is not measured and not server.watched
        for process in family(server.pid)
    ]
    for process in paused:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in reversed(paused):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


class Place:
    """A folder for logs, configuration files and wrk's scripts with the photos they send."""

    def __init__(self, directory: Path, photos: list[Path]) -> None:
        self.directory = directory
        (directory / "photos").write_text("".join(f"{photo.resolve()}\n" for photo in photos))
        self.raw, self.form = directory / "raw.lua", directory / "form.lua"
        self.raw.write_text(_RAW % (directory / "photos"))
        self.form.write_text(_FORM % (directory / "photos"))


def jpegs(folder: Path, limit: int | None = None) -> list[Path]:
    """Return the JPEGs below a folder, in order."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:limit]


@contextlib.contextmanager
def kennel(
    name: str, model: Path, place: Place, checkout: Path = ROOT, **settings: str
) -> Iterator[Server]:
    """Run Kennel's server, of this checkout or another; it is healthy when the block begins."""
    port = model_server.free_port()
    base = place.directory / name
    base.mkdir()
    (base / "model").symlink_to(model.resolve())
    ours = {
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "KENNEL_BIND_ADDRESS": "127.0.0.1",
        "PYTHONPATH": str(checkout),
    }
    with running([sys.executable, "-m", "serve.entry"], place, name, ours | settings) as process:
        wait(f"http://127.0.0.1:{port}/ping", process)
        yield Server(
            name, f"http://127.0.0.1:{port}/invocations", place.raw, process.pid, watched=True
        )


@contextlib.contextmanager
def stock(model: Path, place: Place) -> Iterator[Server]:
    """Run the stock stack on loopback, configured as its toolkit does it."""
    port, management = model_server.free_port(), model_server.free_port()
    store = place.directory / "store" / "model"
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
    config = place.directory / "stock.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    mms = Path(next(iter(__import__("mms").__path__)))
    command = [
        *(str(model_server.java()), f"-Dmodel_server_home={mms.parent}"),
        "-XX:-UseContainerSupport",
        *("-cp", str(mms / "frontend" / "*"), "com.amazonaws.ml.mms.ModelServer"),
        *("--python", sys.executable, "-f", str(config)),
    ]
    settings = {
        "SAGEMAKER_PROGRAM": "inference.py",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks' / 'stock'}",
        "STOCK_BUNDLE": str(model.resolve()),
    }
    with running(command, place, "stock", settings) as process:
        wait(f"http://127.0.0.1:{port}/ping", process)
        server = Server("stock", f"http://127.0.0.1:{port}/invocations", place.raw, process.pid)
        # Its /ping answers 200 before the model is loaded.
        deadline = time.monotonic() + PATIENCE_S
        while load(server, clients=machine.cores(), seconds=2)["errors"]:
            if time.monotonic() > deadline:
                raise TimeoutError("the stock stack does not answer")
        yield server


@contextlib.contextmanager
def litserve(name: str, script: str, model: Path, place: Place, site: Path) -> Iterator[Server]:
    """Run a script of benchmarks/stock with LitServe, which is installed in the folder `site`."""
    port = model_server.free_port()
    command = [sys.executable, str(ROOT / "benchmarks" / "stock" / script), str(port)]
    path = f"{site}:{ROOT}:{ROOT / 'benchmarks' / 'stock'}"
    settings = {"PYTHONPATH": path, "STOCK_BUNDLE": str(model.resolve())}
    with running(command, place, name, settings) as process:
        wait(f"http://127.0.0.1:{port}/health", process)
        yield Server(name, f"http://127.0.0.1:{port}/predict", place.form, process.pid)


@contextlib.contextmanager
def ray_serve(model: Path, place: Place, site: Path) -> Iterator[Server]:
    """Run Ray Serve, which is installed in the folder `site`, around plain torch.

    It is never paused: its processes would take each other for dead.
    """
    port = model_server.free_port()
    command = [sys.executable, str(ROOT / "benchmarks" / "stock" / "ray_serve.py"), str(port)]
    settings = {
        "PYTHONPATH": f"{site}:{ROOT / 'benchmarks' / 'stock'}",
        "STOCK_BUNDLE": str(model.resolve()),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(place.directory),
        "HOME": str(place.directory),
    }
    with running(command, place, "ray", settings) as process:
        url = f"http://127.0.0.1:{port}"
        wait(f"{url}/-/routes", process)
        yield Server("ray", f"{url}/invocations", place.raw, process.pid, watched=True)


@contextlib.contextmanager
def running(
    command: list[str], place: Place, name: str, settings: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    log = place.directory / f"{name}.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(place.directory),
        # What Kennel sets for its workers, here for all servers.
        **model_server.WAITING,
        **{name: os.environ[name] for name in (ISA, LOOPS) if name in os.environ},
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=place.directory,
            env=environment | settings,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    except Exception:
        print(log.read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        left_over = [] if process.poll() is not None else family(process.pid)
        for one in left_over:  # one that was paused would not end
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        for one in left_over:  # LitServe does not end its workers
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def wait(url: str, process: "subprocess.Popen[bytes]", every_s: float = 0.05) -> None:
    """Wait until a GET returns 200."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):  # noqa: S310
            return
        if process.poll() is not None:
            raise RuntimeError(f"the server behind {url} ended with {process.returncode}")
        time.sleep(every_s)
    raise TimeoutError(f"{url} does not answer")


def load(server: Server, *, clients: int, seconds: int, most_s: int = 60) -> dict[str, float]:
    """Run wrk; return its figures. An error is an answer other than 2xx, or none.

    `cpu_ms` is the server's processor time for one request, the figure that other load on the
    machine changes least. Requests still open at the end are in the time but not in the count:
    where fewer than twice the clients were answered, it is measured again for twice as long. The
    model server computes them although wrk has gone, so the next measurement waits for them.

    Raises:
        TimeoutError: so few were answered within `most_s` too.
    """
    while True:
        before = server.cpu_s()
        done = _wrk(server, clients, seconds)
        spent = server.cpu_s() - before
        _settle(server)
        answered = int(_found(r"^\s+(\d+) requests in", done)[1])
        if answered >= 2 * clients:
            break
        if seconds >= most_s:
            raise TimeoutError(f"{server.name} answered {answered} requests in {seconds} s")
        seconds *= 2
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", done)))
    for kinds in re.findall(r"Socket errors: (.*)", done):
        errors += sum(map(int, re.findall(r"\d+", kinds)))
    return {
        "p50_ms": _milliseconds(done, "50%"),
        "p99_ms": _milliseconds(done, "99%"),
        "requests_per_s": float(_found(r"Requests/sec:\s+([\d.]+)", done)[1]),
        "cpu_ms": 1e3 * spent / answered,
        "errors": errors,
    }


def _settle(server: Server) -> None:
    """Wait until a server needs less than half a core."""
    deadline, before = time.monotonic() + PATIENCE_S, server.cpu_s()
    while time.monotonic() < deadline:
        time.sleep(_IDLE_S)
        after = server.cpu_s()
        if after - before < _IDLE_S / 2:
            return
        before = after
    raise TimeoutError(f"{server.name} computes without requests")


def _wrk(server: Server, clients: int, seconds: int) -> str:
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "--latency"]
    return subprocess.run(
        [*command, "-s", str(server.script), server.url], capture_output=True, text=True, check=True
    ).stdout


def _milliseconds(text: str, quantile: str) -> float:
    found = _found(rf"^\s+{quantile}\s+([\d.]+)(us|ms|s|m)\s*$", text)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[found[2]]


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no {pattern} in the output of wrk: {text}")
    return found

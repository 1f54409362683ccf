"""The servers that benchmarks put under load on loopback, and what wrk saw of them.

Kennel as it is started in its container, the stock stack, and LitServe around Kennel's predictor.
"""

import contextlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from serve import machine
from serve.front import model_server

ROOT = Path(__file__).parents[1]
PATIENCE_S = 180
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
    """A running server: where it takes pictures, and wrk's script that sends them."""

    name: str
    url: str
    script: Path
    pid: int
    watched: bool = False  # by a supervisor of its own, which takes a stopped part for a hung one

    def family(self) -> list[psutil.Process]:
        """Return all of its processes."""
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_s(self) -> float:
        """Return the processor time that all of its processes have taken."""
        times = [one.cpu_times() for one in self.family()]
        return sum(one.user + one.system for one in times)


@contextlib.contextmanager
def alone(servers: list[Server], measured: Server | None = None) -> Iterator[None]:
    """Stop the other servers for a while: LitServe takes a third of a core without a request."""
    stopped = [
        process
        for server in servers
        if server is not measured and not server.watched
        for process in server.family()
    ]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(stopped):
            process.resume()


class Place:
    """A folder for logs, ports' configurations and the photos that wrk sends."""

    def __init__(self, directory: Path, photos: list[Path]) -> None:
        self.directory = directory
        (directory / "photos").write_text("".join(f"{photo.resolve()}\n" for photo in photos))
        self.raw, self.form = directory / "raw.lua", directory / "form.lua"
        self.raw.write_text(_RAW % (directory / "photos"))
        self.form.write_text(_FORM % (directory / "photos"))


def jpegs(folder: Path, most: int | None = None) -> list[Path]:
    """Return a folder's JPEGs, in order."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:most]


@contextlib.contextmanager
def kennel(name: str, model: Path, place: Place, **settings: str) -> Iterator[Server]:
    """Run our server, healthy."""
    port = model_server.free_port()
    base = place.directory / name
    base.mkdir()
    (base / "model").symlink_to(model.resolve())
    ours = {
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "KENNEL_BIND_ADDRESS": "127.0.0.1",
    }
    with running([sys.executable, "-m", "serve.entry"], place, name, ours | settings) as process:
        wait(f"http://127.0.0.1:{port}/ping", process)
        yield Server(
            name, f"http://127.0.0.1:{port}/invocations", place.raw, process.pid, watched=True
        )


@contextlib.contextmanager
def stock(model: Path, place: Place) -> Iterator[Server]:
    """Run the stock stack, as its toolkit configures it but on loopback."""
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
        # Its /ping says 200 before it has loaded anything.
        deadline = time.monotonic() + PATIENCE_S
        while load(server, clients=machine.cores(), seconds=2)["errors"]:
            if time.monotonic() > deadline:
                raise TimeoutError("the stock stack does not answer")
        yield server


@contextlib.contextmanager
def litserve(model: Path, place: Place) -> Iterator[Server]:
    """Run LitServe with our predictor, in the precision that ours chooses; installed for now."""
    port = model_server.free_port()
    with tempfile.TemporaryDirectory() as site:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--target", site),
                *("litserve", "python-multipart"),
            ],
            check=True,
        )
        command = [sys.executable, str(ROOT / "benchmarks" / "stock" / "lit.py"), str(port)]
        settings = {"PYTHONPATH": f"{site}:{ROOT}", "STOCK_BUNDLE": str(model.resolve())}
        with running(command, place, "litserve", settings) as process:
            wait(f"http://127.0.0.1:{port}/health", process)
            url = f"http://127.0.0.1:{port}/predict"
            yield Server("litserve", url, place.form, process.pid)


@contextlib.contextmanager
def running(
    command: list[str], place: Place, name: str, settings: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    log = place.directory / f"{name}.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(place.directory),
        # The same for all, and what Kennel sets for its workers.
        **model_server.WAITING,
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
    except BaseException:
        print(log.read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(60)
        for left in family:  # LitServe leaves its workers behind
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


def wait(url: str, process: "subprocess.Popen[bytes]", every_s: float = 0.05) -> None:
    """Wait until a GET is answered with 200."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):  # noqa: S310
            return
        if process.poll() is not None:
            raise RuntimeError(f"the server behind {url} ended with {process.returncode}")
        time.sleep(every_s)
    raise TimeoutError(f"{url} does not answer")


def load(server: Server, *, clients: int, seconds: int) -> dict[str, float]:
    """Return what wrk saw; an error is an answer other than 2xx, or none.

    `cpu_ms` is the server's processor time for one request, which a busy machine changes least; the
    requests under way at the end are in the time and not in the count, so it is too high by as
    much: a short load with many clients tells little.
    """
    before = server.cpu_s()
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency"),
            *("-s", str(server.script), server.url),
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
        "cpu_ms": 1e3
        * (server.cpu_s() - before)
        / max(1, int(_found(r"^\s+(\d+) requests in", done)[1])),
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


def this_machine() -> str:
    """Return processor, Python and torch, for the record."""
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    flags = Path("/proc/cpuinfo").read_text()
    wide = [name for name in ("avx512_bf16", "amx_bf16") if f" {name} " in flags]
    return (
        f"{machine.cores()} x {names[0] if names else platform.machine()}"
        f" ({', '.join(wide) or 'no bf16'}), {machine.gpus()} GPUs,"
        f" Python {platform.python_version()}, torch {torch.__version__}"
    )

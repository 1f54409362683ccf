"""S3 of the emulator at a user's size, compared with the emulator of another commit.

Both run at the same time and are measured in turns, so that other load on the machine slows both
alike. The bytes are random. Photos are uploaded with the code of each emulator's own commit.

    python -m benchmarks.emulator --before COMMIT [--rounds 3] [--megabytes 1024] [--photos 8351]
        [--only-photos]
"""

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write

KEY = "benchmark"
BUCKET = "photos"
PHOTO = os.urandom(25_000)
THREADS, OBJECTS = 16, 1600
SIGNED = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


SEND = """
import sys, time
from pathlib import Path
import boto3
from scripts.aws.client import Aws
from scripts.photos import upload
aws = Aws()
began = time.perf_counter()
upload.run(aws, upload.plan(aws, Path(sys.argv[1]), sys.argv[2]))
print(time.perf_counter() - began)
"""


@dataclass
class Emulator:
    """A running emulator; `peak` is the most memory that it used, in MiB."""

    code: Path
    process: "subprocess.Popen[str]"
    address: str
    local: threading.local = field(default_factory=threading.local)

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://{self.address}",
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key="x",  # noqa: S106
            config=boto3.session.Config(max_pool_connections=THREADS),
        )

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request on this thread's connection."""
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.address)
        try:
            self.local.connection.request(method, path, body, SIGNED)
            answer = self.local.connection.getresponse()
        except (ConnectionError, http.client.HTTPException):  # it was idle for too long
            self.local.connection.close()
            self.local.connection.request(method, path, body, SIGNED)
            answer = self.local.connection.getresponse()
        content: bytes = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def peak(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def emulator(code: Path, state: Path) -> Iterator[Emulator]:
    words = ["-m", "emulator", "run", "--state", str(state), "--engine", "process"]
    process = subprocess.Popen(
        [sys.executable, *words, "--access-key", KEY],
        cwd=code,
        env=os.environ | {"PYTHONPATH": str(code)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        address = process.stdout.readline().split()[1].removeprefix("http://")
        yield Emulator(code, process, address)
    finally:
        process.terminate()
        process.wait()


def put(one: Emulator) -> float:
    return many(lambda number: one.send("PUT", f"/{BUCKET}/small/{number:05}", PHOTO))


def get(one: Emulator) -> float:
    return many(lambda number: one.send("GET", f"/{BUCKET}/small/{number:05}"))


def many(action: Callable[[int], object]) -> float:
    """Return how many actions a second 16 threads do."""
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(action, range(OBJECTS)))
    return OBJECTS / (time.perf_counter() - began)


def fill(one: Emulator, count: int) -> None:
    """Put objects in the bucket whose deletion and listing are measured."""
    with contextlib.suppress(RuntimeError):
        one.send("PUT", "/many")
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda n: one.send("PUT", f"/many/{n:05}", b"x" * 100), range(count)))


def delete(one: Emulator) -> tuple[float, float]:
    """Delete 1,000 keys; return how long it took, and the slowest HEAD of another object beside."""
    keys = "".join(f"<Object><Key>{number:05}</Key></Object>" for number in range(1000))
    slowest, ended = 0.0, threading.Event()

    def look() -> None:
        nonlocal slowest
        while not ended.is_set():
            began = time.perf_counter()
            one.send("HEAD", f"/{BUCKET}/small/00000")
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.005)

    thread = threading.Thread(target=look)
    thread.start()
    time.sleep(0.1)
    began = time.perf_counter()
    try:
        one.send("POST", "/many?delete", f"<Delete>{keys}</Delete>".encode())
        took = time.perf_counter() - began
    finally:
        ended.set()
        thread.join()
    fill(one, 1000)
    return took, slowest


def list_all(one: Emulator) -> float:
    began = time.perf_counter()
    pages = one.client.get_paginator("list_objects_v2").paginate(Bucket="many")
    assert sum(page["KeyCount"] for page in pages)
    return time.perf_counter() - began


def upload_large(one: Emulator, file: Path) -> float:
    began = time.perf_counter()
    one.client.upload_file(str(file), BUCKET, "large")
    return time.perf_counter() - began


def download(one: Emulator, folder: Path) -> tuple[float, float]:
    """Return the seconds of a plain GET to a file and of boto3's download_file."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection(one.address)
    connection.request("GET", f"/{BUCKET}/large", headers=SIGNED)
    answer = connection.getresponse()
    with (folder / "plain").open("wb") as file:
        while piece := answer.read(2**20):
            file.write(piece)
    connection.close()
    plain = time.perf_counter() - began
    began = time.perf_counter()
    one.client.download_file(BUCKET, "large", str(folder / "boto3"))
    return plain, time.perf_counter() - began


def upload_photos(one: Emulator, root: Path, turn: int) -> float:
    """Upload a folder as `kennel data upload` of the emulator's commit does; return the seconds."""
    words = [sys.executable, "-c", SEND, str(root), f"s3://{BUCKET}/turn-{turn}"]
    environment = {
        "AWS_ENDPOINT_URL": f"http://{one.address}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    environment = os.environ | environment | {"PYTHONPATH": str(one.code)}
    done = subprocess.run(
        words, cwd=one.code, env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


Note = Callable[[str, str, float], None]  # name of a figure, side, value


def measure(
    sides: dict[str, Emulator], rounds: int, photos: Path, large: Path | None, folder: Path
) -> dict[str, dict[str, list[float]]]:
    """Return name of a figure -> side -> a value of each round; no `large`: only of photos."""
    found: dict[str, dict[str, list[float]]] = {}

    def note(name: str, side: str, value: float) -> None:
        found.setdefault(name, {}).setdefault(side, []).append(value)

    for one in sides.values():
        one.send("PUT", f"/{BUCKET}")
        if large:
            fill(one, 10_000)
            put(one)
            list_all(one)  # makes the client
    for turn in range(rounds):
        order = dict(list(sides.items())[:: 1 if turn % 2 else -1])
        if large:
            measure_objects(order, large, folder, note)
        for side, one in order.items():
            note("upload_photos_s", side, upload_photos(one, photos, turn))
        last = {
            name: {side: round(v[-1], 3) for side, v in by.items()} for name, by in found.items()
        }
        print(f"round {turn + 1}: {json.dumps(last)}", flush=True)
    return found


def measure_objects(sides: dict[str, Emulator], large: Path, folder: Path, note: Note) -> None:
    """Measure one round of everything but photos."""
    for name, action in (
        ("put_a_second", put),
        ("get_a_second", get),
        ("list_10000_s", list_all),
    ):
        for side, one in sides.items():
            note(name, side, action(one))
    for side, one in sides.items():
        took, slowest = delete(one)
        note("delete_1000_s", side, took)
        note("slowest_head_beside_s", side, slowest)
    for side, one in sides.items():
        one.forget_peak()
        note("upload_large_s", side, upload_large(one, large))
        plain, sdk = download(one, folder)
        note("plain_get_s", side, plain)
        note("download_file_s", side, sdk)
        note("download_file_by_plain_get", side, sdk / plain)
        note("peak_mib", side, one.peak())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", help="a commit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--photos", type=int, default=8351)
    parser.add_argument("--only-photos", action="store_true", help="measure only their upload")
    parser.add_argument("--out", type=Path, default=RESULTS / "emulator.json")
    options = parser.parse_args()
    home = Path(__file__).parents[1]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kennel-benchmark-")))
        old = folder / "before"
        git = ["git", "-C", str(home), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(old), options.before], check=True)
        stack.callback(subprocess.run, [*git, "remove", "--force", str(old)], check=True)
        photos = folder / "photos"
        large = None if options.only_photos else folder / "large"
        for number in range(options.photos):
            file = photos / f"class-{number % 133:03}" / f"{number:05}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.urandom(25_000))
        if large:
            with large.open("wb") as file:
                for _ in range(options.megabytes):
                    file.write(os.urandom(2**20))
        sides = {
            "before": stack.enter_context(emulator(old, folder / "state-before")),
            "today": stack.enter_context(emulator(home, folder / "state-today")),
        }
        found = measure(sides, options.rounds, photos, large, folder)
    results: dict[str, Any] = {}
    for name, by_side in found.items():
        ratios = [a / b for a, b in zip(by_side["today"], by_side["before"], strict=True)]
        results[name] = {side: spread(values) for side, values in by_side.items()}
        results[name]["today_by_before"] = spread(ratios)
    contents = {
        "command": " ".join(["python -m benchmarks.emulator", *sys.argv[1:]]),
        "rounds": options.rounds,
        "figures": results,
        "machine": this_machine(),
        "load": machine_load(),
    }
    write(options.out, contents)
    print(json.dumps(contents, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

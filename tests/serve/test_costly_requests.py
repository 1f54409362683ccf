"""Small requests that are expensive: no worker dies, nobody gets a 5xx, /ping stays 200."""

import base64
import contextlib
import json
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.pictures.test_images import progressive, solid_webp, tiled_tiff
from tests.serve.conftest import picture
from tests.serve.hostile import npy, png
from tests.serve.running import Running, serving

pytestmark = pytest.mark.slow

MEMORY_MB = 2200  # of a worker; one picture of 67 megapixels can take 1,024


def strip(width: int, height: int) -> bytes:
    return png(width, height, (b"IDAT", zlib.compress(bytes((3 * width + 1) * height))))


def gif(side: int) -> bytes:
    data = picture(1, "GIF")
    return data[:6] + struct.pack("<HH", side, side) + data[10:]


WEBP = solid_webp(8191)
SEVERAL = json.dumps([base64.b64encode(WEBP).decode()] * 2).encode()

# Body, content type, and the statuses that are right.
COSTLY: dict[str, tuple[bytes, str, tuple[int, ...]]] = {
    "a strip": (strip(65_000, 1), "image/png", (200,)),
    "an upright strip": (strip(1, 16_000), "image/png", (200,)),
    "34 bytes of WebP": (solid_webp(1000), "image/webp", (200,)),
    "the largest WebP": (WEBP, "image/webp", (200,)),
    "two of them": (SEVERAL, "application/json", (422,)),
    "a tile of a TIFF": (tiled_tiff(30_000), "image/tiff", (422,)),
    "600 scans": (progressive((1000, 1000), 600), "image/jpeg", (422,)),
    "16 large scans": (progressive((8191, 8191), 16), "image/jpeg", (200,)),
    "a large GIF": (gif(8191), "image/gif", (200,)),
    "a row of an array": (npy(np.zeros((1, 300_000, 3), np.uint8)), "application/x-npy", (200,)),
    "many strings": (b"[" + b'"",' * 300_000 + b'""]', "application/json", (422,)),
}


@pytest.fixture(scope="module")
def server(trained: Path, nginx: None) -> Iterator[Running]:
    with serving(
        trained,
        SAGEMAKER_MODEL_SERVER_WORKERS="2",
        KENNEL_THREADS="4",
        KENNEL_MAX_BATCH_DELAY_MS="20",
        KENNEL_WORKER_MEMORY_MB=str(MEMORY_MB),
    ) as running:
        running.wait_for_ping(200)
        yield running


@contextlib.contextmanager
def good_requests(server: Running) -> Iterator[list[int]]:
    """Send good requests and pings all the time; yield the list of their statuses."""
    ended, statuses = threading.Event(), list[int]()

    def send() -> None:
        while not ended.is_set():
            statuses.append(server.classify(picture(3)).status)
            statuses.append(server.ask("GET", "/ping").status)
            time.sleep(0.1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        thread.join(60)


def peak_mb(worker: psutil.Process) -> int:
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def test_costly_requests_alone_and_four_at_once_harm_nobody(server: Running) -> None:
    before = {part.pid for part in server.parts("worker")}
    with good_requests(server) as statuses, ThreadPoolExecutor(4) as pool:
        for name, (body, content_type, right) in COSTLY.items():
            assert server.classify(body, content_type).status in right, name
            four = pool.map(lambda _, b=body, c=content_type: server.classify(b, c), range(4))
            assert {answer.status for answer in four} <= set(right), name
    assert len(statuses) >= 2 * len(COSTLY)
    assert set(statuses) == {200}
    workers = server.parts("worker")
    assert {part.pid for part in workers} == before
    assert max(peak_mb(part) for part in workers) < MEMORY_MB
    assert "killing worker" not in server.log

"""Costly pictures are decoded outside the workers: with a deadline, and without harm to anybody."""

import base64
import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.serve import costly
from tests.serve.conftest import picture
from tests.serve.hostile import FORM, PART
from tests.serve.running import Answer, Running, serving, until

pytestmark = pytest.mark.slow

Infer = Callable[[bytes], list[float]]


def large(seed: int) -> bytes:
    """Return a PNG of 5 megapixels."""
    return picture(seed, "PNG", (2500, 2000))


@pytest.fixture(scope="module")
def server(trained: Path, nginx: None) -> Iterator[Running]:
    with serving(trained, SAGEMAKER_MAX_PAYLOAD_IN_MB="25") as running:
        running.wait_for_ping(200)
        yield running


@pytest.fixture(scope="module")
def impatient(trained: Path, nginx: None) -> Iterator[Running]:
    with serving(trained, KENNEL_DECODE_SECONDS="1") as running:
        running.wait_for_ping(200)
        yield running


def test_the_answer_is_the_same_as_from_a_worker(server: Running, logits: Infer) -> None:
    photo = large(1)
    assert server.classify(photo, "image/png").json() == pytest.approx(logits(photo), abs=1e-4)
    assert "costly" not in server.log


def test_lists_forms_options_and_formats_pass_through(server: Running, logits: Infer) -> None:
    photos = [large(1), picture(2)]
    encoded = [base64.b64encode(photo).decode() for photo in photos]
    body = json.dumps({"images": encoded, "parameters": {"top_k": 2}}).encode()
    as_json = server.classify(body, "application/json", Accept="application/json;verbose")
    assert [len(one["labels"]) for one in as_json.json()] == [2, 2]
    query = {"Content-Type": "image/png", "Accept": "application/json;verbose"}
    one = server.ask("POST", "/invocations?top_k=3", photos[0], query)
    assert len(one.json()["labels"]) == 3
    parts = b"".join(PART + photo + b"\r\n" for photo in photos)
    rows = server.classify(parts + b"--b--\r\n", FORM).json()
    for row, photo in zip(rows, photos, strict=True):
        assert row == pytest.approx(logits(photo), abs=1e-4)
    lines = "\n".join(json.dumps({"image": one}) for one in [*encoded, "no base64 !"])
    answer = server.classify(lines.encode(), "application/jsonlines").body.splitlines()
    assert len(answer) == 3
    assert json.loads(answer[2])["code"] == 400


def test_refusals_are_the_usual_json(server: Running) -> None:
    refused = server.classify(large(1)[:-5000], "image/png", X_Request_Id="trace-18")
    assert refused.status == 400
    assert set(refused.json()) == {"code", "message", "hint", "request_id"}
    assert refused.json()["request_id"] == refused.headers["x-request-id"] == "trace-18"
    refused = server.classify(large(1), "image/png", Accept="application/pdf")
    assert refused.status == 406


def test_a_client_cannot_name_pixels_of_the_lane(server: Running, logits: Infer) -> None:
    headers = {"Kennel-Pixels": "0" * 32, "Content-Type": "image/jpeg"}
    answer = server.ask("POST", "/invocations", picture(1), headers)
    assert answer.json() == pytest.approx(logits(picture(1)), abs=1e-4)


def test_a_body_of_10_mb_goes_around_the_model_server(server: Running, logits: Infer) -> None:
    photo = picture(3)
    padded = photo + bytes(12_000_000)
    for body in (padded, iter([padded])):
        answer = server.classify(body)
        assert answer.status == 200, answer.body
        assert answer.json() == pytest.approx(logits(photo), abs=1e-4)
    assert server.classify(bytes(26 * 2**20)).status == 413


def test_over_the_deadline_is_422_and_nobody_else_notices(impatient: Running) -> None:
    """67 megapixels of 8 bytes each: several seconds, even on a fast processor."""
    server = impatient
    slow = costly.PNGS["alpha, 16 bits"]()
    workers = server.parts("worker")
    begun = time.monotonic()
    ended, others = threading.Event(), list[Answer]()

    def good() -> None:
        while not ended.is_set():
            others.append(server.classify(picture(1)))
            others.append(server.ask("GET", "/ping"))

    with ThreadPoolExecutor(5) as pool:
        pool.submit(good)
        four = list(pool.map(lambda _: server.classify(slow, "image/png"), range(4)))
        ended.set()
    assert [one.status for one in four] == [422] * 4
    assert "takes over 1 seconds" in four[0].json()["message"]
    assert "KENNEL_DECODE_SECONDS" in four[0].json()["hint"]
    assert {one.status for one in others} == {200}
    assert len(others) > 10
    assert server.parts("worker") == workers
    assert time.monotonic() - begun < 90


def test_a_decoder_that_is_killed_is_a_422(server: Running) -> None:
    def kill() -> None:
        lane = server.parts("kennel-lane")[0]
        with contextlib.suppress(AssertionError, psutil.NoSuchProcess):
            until(lambda: lane.children(recursive=True)[1:2] or None)[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    answer = server.classify(costly.PNGS["alpha, 16 bits"](), "image/png")
    killer.join()
    assert answer.status == 422


def test_the_lane_is_started_again(server: Running, logits: Infer) -> None:
    server.parts("kennel-lane")[0].send_signal(signal.SIGKILL)
    until(lambda: "starting it again" in server.log or None)

    def right() -> bool | None:
        answer = server.classify(large(1), "image/png")
        assert answer.status in (200, 503)
        return True if answer.status == 200 else None

    assert until(right)
    assert server.ask("GET", "/ping").status == 200


def test_nothing_is_left_over(server: Running) -> None:
    def alone() -> list[psutil.Process] | None:
        lanes = server.parts("kennel-lane")  # a child has the name too, until it ends
        return lanes if len(lanes) == 1 else None

    (lane,) = until(alone)
    until(lambda: True if not lane.children() else None)
    folder = Path(lane.environ()["KENNEL_LANE"])
    assert not [path for path in folder.iterdir() if len(path.name) == 32]

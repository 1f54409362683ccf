import base64
import gc
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mms.service import Service
from PIL import Image

from classifier import bundle
from serve import handler
from serve.errors import RequestError
from serve.front import health
from serve.front.headers import COSTLY
from serve.lane import handover
from tests.serve.conftest import CLASSES, picture
from tests.serve.worker import Reply, Request, ask, load

PHOTOS = [picture(seed) for seed in range(4)]
VERBOSE = "application/json;verbose"


def several(*pictures: bytes) -> Request:
    body = json.dumps({"images": [base64.b64encode(one).decode() for one in pictures]})
    return Request(body.encode(), "application/json")


GOOD = [
    *(Request(photo) for photo in PHOTOS),
    Request(PHOTOS[0], accept=VERBOSE),
    Request(PHOTOS[1], accept="text/csv"),
    Request(PHOTOS[2], accept="application/json;torchserve", query="top_k=2"),
    several(*PHOTOS[1:]),
]
BAD = {
    400: Request(b"I am text"),
    406: Request(PHOTOS[0], accept="text/html"),
    422: Request(picture(9, "PNG", (1001, 1000))),
    415: Request(PHOTOS[0], content_type="text/csv"),
}
LINES_IN_PART = Request(
    b'"%s"\n"I am text"\nno JSON' % base64.b64encode(PHOTOS[0]), "application/jsonlines"
)
PARTLY_BAD = several(PHOTOS[0], b"text")


def environment(monkeypatch: pytest.MonkeyPatch, base_dir: Path, run_dir: Path) -> Path:
    """Set what the supervisor sets for a worker; return the directory of the reports."""
    reports = run_dir / "workers"
    reports.mkdir(parents=True)
    (run_dir / "empty").mkdir()
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base_dir))
    monkeypatch.setenv(health.DIRECTORY_VARIABLE, str(reports))
    monkeypatch.setenv("KENNEL_MAX_PIXELS", "1000000")
    monkeypatch.setenv("KENNEL_THREADS", "1")
    monkeypatch.setenv("KENNEL_PRECISION", "fp32")  # as the expected logits, on any processor
    return reports


@pytest.fixture(scope="module")
def worker(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    run_dir = tmp_path_factory.mktemp("run") / "r"
    with pytest.MonkeyPatch.context() as monkeypatch:
        environment(monkeypatch, trained, run_dir)
        yield load(run_dir / "empty")


def test_a_loaded_worker_reports_the_difference_from_the_golden_logits(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = environment(monkeypatch, trained, tmp_path)
    load(tmp_path / "empty")
    (mine,) = health.reports(reports)
    assert mine.refusal is None
    assert mine.difference is not None
    assert mine.difference < 1e-4


def test_a_body_that_unpacks_to_a_large_one_goes_to_the_lane(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a body that is sent as a large one: a worker would hold it in memory several times."""
    (tmp_path / "lane").mkdir()
    monkeypatch.setenv(handover.FOLDER_VARIABLE, str(tmp_path / "lane"))
    small, large = (gzip.compress(PHOTOS[0] + bytes(size)) for size in (9 * 2**20, 11 * 2**20))
    requests = [Request(body, encoding="gzip") for body in (small, large)]
    for most, expected in (("6", [422, 422]), ("1000", [200, COSTLY])):
        environment(monkeypatch, trained, tmp_path / most)
        monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", most)
        _, replies = ask(load(tmp_path / most / "empty"), *requests)
        assert [reply.status for reply in replies] == expected


def tamper(model: Path) -> None:
    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)


def age(model: Path) -> None:
    description = model / "kennel.json"
    contents = json.loads(description.read_text())
    description.write_text(json.dumps(contents | {"format": 99}))


def drift(model: Path) -> None:
    """Make a complete bundle whose golden logits are not those of its network."""
    true = bundle.load(model)
    golden = bundle.Golden(true.golden.photos, true.golden.logits + 0.5)
    bundle.save(bundle.Bundle(true.description, true.network, golden), model)


def lose(model: Path) -> None:
    for file in model.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (tamper, "changed or damaged"),
        (age, "format 99"),
        (lose, "no kennel.json"),
        (drift, "golden inputs"),
    ],
)
def test_a_bad_bundle_is_an_error_for_mms_and_a_refusal_for_the_supervisor(
    spoil: Callable[[Path], None],
    reason: str,
    bundle_copy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil(bundle_copy / "model")
    reports = environment(monkeypatch, bundle_copy, tmp_path / "r")
    with pytest.raises(bundle.BundleError, match=reason):
        load(tmp_path / "r" / "empty")
    (mine,) = health.reports(reports)
    assert reason in str(mine.refusal)


def check(request: Request, reply: Reply, logits: Callable[[bytes], list[float]]) -> None:
    """Compare one reply with what its request would get alone."""
    assert reply.headers == 0, "response headers make MMS's Java fail under load"
    wrong = [*BAD.items(), (400, PARTLY_BAD)]
    code = next((code for code, bad in wrong if bad is request), 200)
    assert reply.status == code
    if code == 200 and request.accept == "text/csv":
        assert reply.content_type.rstrip(" ") == "text/csv; charset=utf-8"
        probabilities = torch.tensor(logits(request.body)).div(2.0).softmax(0).tolist()
        assert list(map(float, reply.body.split(b","))) == pytest.approx(probabilities, abs=1e-4)
        return
    assert reply.content_type.rstrip(" ") == "application/json"
    answer = reply.json()
    if code != 200:
        assert set(answer) == {"code", "message", "hint", "request_id"}
        assert answer["code"] == code
        assert answer["request_id"] == reply.request_id.replace("job", "id")
    elif request.content_type == "application/json":
        for row, photo in zip(answer, PHOTOS[1:], strict=True):
            assert row == pytest.approx(logits(photo), abs=1e-4)
    elif request.accept is None:
        assert answer == pytest.approx(logits(request.body), abs=1e-4)
    else:
        probabilities = torch.tensor(logits(request.body)).div(2.0).softmax(0).tolist()
        expected = dict(zip(CLASSES, probabilities, strict=True))
        if request.accept == VERBOSE:
            assert answer["labels"] == list(CLASSES)
            answer = dict(zip(answer["labels"], answer["probabilities"], strict=True))
        else:
            best = sorted(CLASSES, key=lambda name: expected[name], reverse=True)[:2]
            expected = {name: expected[name] for name in best}
        assert answer == pytest.approx(expected, abs=1e-4)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from([*GOOD, *BAD.values(), PARTLY_BAD]), min_size=1, max_size=8))
def test_each_request_of_a_batch_gets_its_own_answer_in_order(
    worker: Service, logits: Callable[[bytes], list[float]], requests: list[Request]
) -> None:
    code, replies = ask(worker, *requests)
    assert code == 200
    assert [reply.request_id for reply in replies] == [f"job-{i}" for i in range(len(requests))]
    for request, reply in zip(requests, replies, strict=True):
        check(request, reply, logits)


def test_requests_with_several_pictures_are_answered_in_a_batch(
    worker: Service, logits: Callable[[bytes], list[float]]
) -> None:
    """More pictures than one forward pass allows, and a bad one among good ones."""
    _, replies = ask(
        worker, several(*PHOTOS * 3), PARTLY_BAD, Request(PHOTOS[1]), several(PHOTOS[2])
    )
    assert [reply.status for reply in replies] == [200, 400, 200, 200]
    together = replies[0].json()
    assert len(together) == 12
    for answer, photo in zip(together, PHOTOS * 3, strict=True):
        assert answer == pytest.approx(logits(photo), abs=1e-4)
    assert "picture 2: " in replies[1].json()["message"]
    assert replies[2].json() == pytest.approx(logits(PHOTOS[1]), abs=1e-4)
    assert len(replies[3].json()) == 1


def test_options_are_applied(worker: Service) -> None:
    _, (two, csv, wrong) = ask(
        worker,
        Request(PHOTOS[0], accept=VERBOSE, query="top_k=2"),
        Request(PHOTOS[0], accept="text/csv"),
        Request(PHOTOS[0], query="top_k=2"),
    )
    assert len(two.json()["labels"]) == 2
    assert 0 < two.json()["novelty"] < 1
    assert csv.content_type.rstrip(" ") == "text/csv; charset=utf-8"
    assert sum(map(float, csv.body.split(b","))) == pytest.approx(1)
    assert wrong.status == 400


def test_a_heat_map_is_a_transparent_png_of_the_size_of_the_crop(worker: Service) -> None:
    _, (explained,) = ask(worker, Request(PHOTOS[0], accept=VERBOSE, query="explain=gradcam"))
    kind, _, data = explained.json()["heat_map"].partition(",")
    assert kind == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (image.mode, image.size) == ("RGBA", (64, 64))
    assert 0 < int(np.asarray(image)[..., 3].max()) <= 200
    _, (plain,) = ask(worker, Request(PHOTOS[0], accept=VERBOSE))
    assert plain.json()["probabilities"] == pytest.approx(explained.json()["probabilities"])


def test_bfloat16_serves_with_a_tolerance_of_its_own(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logits: Callable[[bytes], list[float]],
) -> None:
    reports = environment(monkeypatch, trained, tmp_path)
    monkeypatch.setenv("KENNEL_PRECISION", "bf16")
    service = load(tmp_path / "empty")
    (mine,) = health.reports(reports)
    assert mine.difference is not None
    assert 1e-4 < mine.difference < 0.05
    _, (reply,) = ask(service, Request(PHOTOS[0]))
    expected = logits(PHOTOS[0])
    assert reply.json() == pytest.approx(expected, abs=0.05 * max(map(abs, expected)))
    assert reply.json() != pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("code", "message"),
    [(400, "not a picture"), (406, "text/html"), (422, "1001 x 1000"), (415, "text/csv")],
)
def test_each_error_says_what_was_wrong(worker: Service, code: int, message: str) -> None:
    _, (reply,) = ask(worker, BAD[code])
    assert message in reply.json()["message"]
    assert reply.json()["hint"]


def test_a_network_that_fails_fails_its_requests_and_not_the_worker(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that returns NaN, and one that cannot process the pictures."""
    environment(monkeypatch, trained, tmp_path)
    service = load(tmp_path / "empty")
    network = handler._handler.engine.network  # type: ignore[attr-defined]
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    code, replies = ask(service, GOOD[0], BAD[400])
    assert (code, [reply.status for reply in replies]) == (200, [500, 400])
    network.conv1 = torch.nn.Linear(1, 1)
    code, replies = ask(service, BAD[415], GOOD[0], GOOD[1])
    assert (code, [reply.status for reply in replies]) == (200, [415, 500, 500])
    assert "find its request id in the log" in replies[1].json()["hint"]


def tracebacks_of_errors() -> dict[int, TracebackType]:
    """Return all tracebacks that a RequestError holds, by their id."""
    errors = (one for one in gc.get_objects() if type(one) is RequestError)
    return {id(one.__traceback__): one.__traceback__ for one in errors if one.__traceback__}


@pytest.mark.parametrize(
    "request_",
    [
        *BAD.values(),
        Request(b"1,2", "text/csv"),
        Request(b"[[[1, 2, 3]]]", "application/json"),
        LINES_IN_PART,
        replace(LINES_IN_PART, accept="application/json"),
        replace(LINES_IN_PART, body=b"no JSON\nnor this"),
        replace(LINES_IN_PART, body=b'"I am text"\n"nor this"'),
    ],
)
def test_a_refusal_holds_no_bytes_of_its_request(worker: Service, request_: Request) -> None:
    """In a cycle, large bodies would stay in memory until the garbage collector runs."""
    gc.collect()
    gc.disable()
    before = tracebacks_of_errors()  # pydantic keeps errors of settings, from tests in this process
    try:
        for requests in ((request_,), (request_, GOOD[0])):
            ask(worker, *requests)
        after = tracebacks_of_errors()
    finally:
        gc.enable()
    assert [after[one] for one in after.keys() - before.keys()] == []

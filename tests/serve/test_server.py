"""One healthy server, with every kind of request that a client can send."""

import base64
import json
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch

from tests.serve.conftest import CLASSES, METRICS_PORT, picture
from tests.serve.running import Answer, Running, serving
from tests.serve.test_refusals import exchange

pytestmark = pytest.mark.slow

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]
CLOSED = [
    "/",
    "/models",
    "/models/model",
    "/models/model/invoke",
    "/predictions/model",
    "/model/predict",
    "/api-description",
    "/invocations/",
    "/invocations/model",
    "/ping/",
    "/pingx",
    "/metrics",
    "/..%2fmodels",
    "/invocations/../models",
    "/nginx.conf",
]


def check_error(answer: Answer, code: int) -> str:
    """Check the JSON of an error answer; return its message."""
    assert answer.status == code
    assert answer.headers["content-type"] == "application/json"
    fields = answer.json()
    assert set(fields) == {"code", "message", "hint", "request_id"}
    assert fields["code"] == code
    assert fields["hint"]
    assert fields["request_id"] == answer.headers["x-request-id"]
    return str(fields["message"])


def test_ping_is_503_until_the_golden_inputs_are_replayed(server: Running) -> None:
    assert server.pings == [503, 200]
    answer = server.ask("GET", "/ping").json()
    assert answer["status"] == "Healthy"
    assert (answer["engine"], answer["device"]) == ("torch", "cpu")
    assert "kennel export" in answer["why"]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_logits_equal_those_of_the_network_in_this_process(
    server: Running, logits: Callable[[bytes], list[float]], format_: str
) -> None:
    photo = picture(5, format_)
    answer = server.classify(photo, f"image/{format_.lower()}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == pytest.approx(logits(photo), abs=1e-4)


@pytest.mark.parametrize("content_type", [None, "application/x-image", "application/octet-stream"])
def test_a_picture_needs_no_exact_content_type(server: Running, content_type: str | None) -> None:
    assert server.classify(picture(1), content_type).status == 200


def test_accept_verbose_gets_labelled_probabilities(
    server: Running, logits: Callable[[bytes], list[float]]
) -> None:
    answer = server.classify(picture(2), Accept="application/json;verbose").json()
    assert answer["labels"] == list(CLASSES)
    expected = torch.tensor(logits(picture(2))).div(2.0).softmax(0)
    assert answer["probabilities"] == pytest.approx(expected.tolist(), abs=1e-4)
    assert answer["predicted_label"] == CLASSES[int(expected.argmax())]


REFUSED = {
    "text sent as a picture": (b"I am text", "image/jpeg", "*/*", 400, "not a picture"),
    "no body": (b"", "image/jpeg", "*/*", 400, "empty"),
    "cut short": (picture(1)[:-200], "image/jpeg", "*/*", 400, "cut short"),
    "text": (b"I am text", "text/plain", "*/*", 415, "text/plain"),
    "a form": (b"a=b", "application/x-www-form-urlencoded", "*/*", 415, "urlencoded"),
    "a form of parts": (b"--x", "multipart/form-data; boundary=x", "*/*", 400, "damaged"),
    "JSON": (b"{", "application/json", "*/*", 400, "not JSON"),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(50), "image/jpeg", "*/*", 415, "HEIC"),
    "unknown Accept": (picture(1), "image/jpeg", "text/html", 406, "text/html"),
    "too many pixels": (picture(1, "PNG", (1001, 1000)), "image/png", "*/*", 422, "1001 x 1000"),
    "too many bytes": (bytes(2**20 + 1), "image/jpeg", "*/*", 413, "larger than 1 MiB"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_gets_status_and_message(server: Running, case: str) -> None:
    body, content_type, accept, code, message = REFUSED[case]
    answer = server.classify(body, content_type, Accept=accept)
    assert message in check_error(answer, code)


def test_a_body_of_the_largest_size_is_accepted(server: Running) -> None:
    photo = picture(1)
    assert server.classify(photo + bytes(2**20 - len(photo))).status == 200


def test_a_clients_request_id_is_kept_unless_it_is_dangerous(server: Running) -> None:
    kept = server.classify(b"text", X_Request_Id="trace-17")
    check_error(kept, 400)
    assert kept.headers["x-request-id"] == "trace-17"
    made = server.classify(b"text", X_Request_Id='"},{"')
    check_error(made, 400)
    assert made.headers["x-request-id"] != '"},{"'


def test_options_come_in_the_query_or_in_sagemakers_attributes(server: Running) -> None:
    headers = {"Content-Type": "image/jpeg", "Accept": "application/json;verbose"}
    answer = server.ask("POST", "/invocations?top_k=2", picture(1), headers)
    assert len(answer.json()["labels"]) == 2
    headers["X-Amzn-SageMaker-Custom-Attributes"] = "trace-7;top_k=3"
    answer = server.ask("POST", "/invocations", picture(1), headers)
    assert len(answer.json()["labels"]) == 3
    unreadable = "cannot be read"
    for query, words in (("topk=2", "topk"), ("top_k=" + "1" * 2000, f"query {unreadable}")):
        answer = server.ask("POST", f"/invocations?{query}", picture(1), headers)
        assert words in check_error(answer, 400)
    raw = b"POST /invocations?name=\xe4 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    status, _, body = exchange(server.port, raw % len(picture(1)) + picture(1))
    assert (status, f"query {unreadable}".encode() in body) == (400, True)
    for given in ("top_k=2;" + "a" * 1500, "top_k=2;name=\xe4"):
        headers["X-Amzn-SageMaker-Custom-Attributes"] = given
        answer = server.ask("POST", "/invocations", picture(1), headers)
        assert f"Attributes {unreadable}" in check_error(answer, 400)
    headers["X-Amzn-SageMaker-Custom-Attributes"] = "trace\t7;\ttop_k=3"
    answer = server.ask("POST", "/invocations", picture(1), headers)
    assert len(answer.json()["labels"]) == 3


def test_several_pictures_come_in_json_or_in_a_form(
    server: Running, logits: Callable[[bytes], list[float]]
) -> None:
    photos = [picture(3), picture(4, "PNG")]
    encoded = [base64.b64encode(photo).decode() for photo in photos]
    answer = server.classify(json.dumps({"images": encoded}).encode(), "application/json")
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n' + photo + b"\r\n"
        for photo in photos
    )
    form = server.classify(parts + b"--x--\r\n", "multipart/form-data; boundary=x")
    for rows in (answer.json(), form.json()):
        for row, photo in zip(rows, photos, strict=True):
            assert row == pytest.approx(logits(photo), abs=1e-4)


def test_an_oversize_chunked_body_gets_the_usual_json(
    server: Running,
) -> None:
    """Without a Content-Length, nginx learns the size only while reading."""
    answer = server.classify(iter([bytes(2**16)] * 20))
    assert "larger than 1 MiB" in check_error(answer, 413)


def test_other_headers_do_not_reach_the_model(server: Running) -> None:
    headers = {
        "Kennel-Content-Type": "text/csv",
        "Content-Type": "image/jpeg",
        "X-Long": "x" * 2000,
    }
    answer = server.ask("POST", "/invocations", picture(1), headers)
    assert answer.status == 200


@pytest.mark.parametrize("path", CLOSED)
def test_no_other_path_is_reachable(server: Running, path: str) -> None:
    for method in METHODS:
        answer = server.ask(method, path)
        assert answer.status in (400, 404, 405), method
        if answer.status == 404 and method != "HEAD":
            check_error(answer, 404)


def test_each_route_accepts_only_its_methods(server: Running) -> None:
    for method in METHODS:
        if method not in ("GET", "HEAD"):
            for path in ("/ping", "/execution-parameters"):
                answer = server.ask(method, path)
                assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        if method != "POST":
            answer = server.ask(method, "/invocations")
            assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_execution_parameters_for_batch_transform(server: Running) -> None:
    answer = server.ask("GET", "/execution-parameters")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "MaxConcurrentTransforms": 8,
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": 1,
    }


def test_metrics_count_the_work_and_are_on_loopback_only(server: Running) -> None:
    def counted() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return {
            name: float(value)
            for line in lines
            if not line.startswith("#")
            for name, value in [line.split()]
        }

    before = counted()
    server.classify(picture(1))
    server.classify(b"text")
    after = counted()
    grown = {name: after[name] - before[name] for name in after}
    assert grown["kennel_answered_total"] == grown["kennel_pictures_total"] == 1
    assert grown["kennel_refused_total"] == 1
    assert after["kennel_failed_total"] == after["kennel_workers_lost_total"] == 0
    assert after["kennel_workers"] == after["kennel_healthy"] == 1
    assert after["kennel_workers_memory_bytes"] > 1e8
    assert server.ask("GET", "/metrics").status == 404


def test_only_nginx_listens_outside_loopback(server: Running) -> None:
    family = [psutil.Process(server.process.pid)]
    family += family[0].children(recursive=True)
    listening = {
        (address.ip, address.port)
        for member in family
        for connection in member.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and (address := connection.laddr)
    }
    outside = {port for ip, port in listening if ip not in ("127.0.0.1", "::ffff:127.0.0.1")}
    assert outside == {server.port}
    assert len(listening) == 4  # nginx, its metrics, and the model server's two


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU many requests pass through Java")
def test_java_has_no_slow_compiler_without_a_gpu(server: Running) -> None:
    (java,) = server.parts("java")
    threads = [one.read_text() for one in Path(f"/proc/{java.pid}/task").glob("*/comm")]
    assert any(name.startswith("C1 Compiler") for name in threads)
    assert not any(name.startswith("C2 Compiler") for name in threads)


def test_good_and_bad_concurrent_requests_get_their_own_answers(
    server: Running, logits: Callable[[bytes], list[float]]
) -> None:
    cases = list(REFUSED)[:-1]
    jobs: list[int | str] = [job for n in range(30) for job in (n, cases[n % len(cases)])]

    def send(job: int | str) -> Answer:
        if isinstance(job, int):
            return server.classify(picture(job))
        body, content_type, accept, _, _ = REFUSED[job]
        return server.classify(body, content_type, Accept=accept)

    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(send, jobs))
    for job, answer in zip(jobs, answers, strict=True):
        if isinstance(job, int):
            assert answer.status == 200
            assert answer.json() == pytest.approx(logits(picture(job)), abs=1e-4)
        else:
            assert REFUSED[job][4] in check_error(answer, REFUSED[job][3])
    assert "process died" not in server.log
    assert "Traceback" not in server.log


def test_files_of_a_bundle_are_neither_run_nor_written(bundle_copy: Path, nginx: None) -> None:
    """The workers start in a folder of ours, so code next to the weights is never found."""
    model = bundle_copy / "model"
    trap = "from pathlib import Path; Path(__file__).with_name('sprung').touch()\n"
    for name in ("torch.py", "json.py", "sitecustomize.py", "handler.py"):
        (model / name).write_text(trap)
    before = {path.name: path.stat().st_mtime_ns for path in model.iterdir()}
    with serving(bundle_copy) as running:
        running.wait_for_ping(200)
        assert running.classify(picture(1)).status == 200
        assert json.loads(running.classify(picture(1)).body)
    assert {path.name: path.stat().st_mtime_ns for path in model.iterdir()} == before

"""Statuses, phrases and types that a user's code sets: each request is answered, and at once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.conftest import picture
from tests.serve.running import Running, serving
from tests.serve.test_custom import Load, load_code
from tests.serve.worker import Request, ask

__all__ = ["load_code"]  # the fixture

# What a client sends as Accept decides what the code does.
CODE = """
import json

class Failed(Exception):
    def __init__(self, code):
        super().__init__("no such dog")
        self.status_code = code

class Panic(BaseException):
    '''As pyo3_runtime.PanicException, which libraries in Rust raise.'''

def output_fn(prediction, accept, context):
    kind, _, value = accept.partition("/")
    if kind == "error":
        raise Failed(int(value))
    if kind == "panic":
        raise Panic("rust")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "type":
        return "x", "a/" + "b" * 5000
    if kind == "status":
        context.set_response_status(json.loads(value), "Own", 0)
    if kind == "phrase":
        context.set_response_status(422, value, 0)
    return "own"
"""
ERROR = {"code", "message", "hint", "request_id"}


@pytest.mark.parametrize(
    "status", ['"404"', "404.0", "null", "true", "-1", "0", "99", "101", "600"]
)
def test_what_is_no_status_fails_its_request_only(load_code: Load, status: str) -> None:
    code, (odd, fine) = ask(
        load_code(CODE),
        Request(picture(1), accept=f"status/{status}"),
        Request(picture(1), accept="a/b"),
    )
    assert (code, odd.status, fine.status) == (200, 500, 200)
    assert set(odd.json()) == ERROR


@pytest.mark.parametrize("code", [404, 408, 413, 418, 419, 444, 499])
def test_an_error_of_any_4xx_reaches_the_client_with_its_words(load_code: Load, code: int) -> None:
    """Inside the server 404, 408, 413 and 418 say something about the server."""
    _, (reply,) = ask(load_code(CODE), Request(picture(1), accept=f"error/{code}"))
    inside = code in (404, 408, 413, 418)
    assert reply.status == reply.json()["code"] == (400 if inside else code)
    assert reply.json()["message"] == "no such dog"


@pytest.mark.parametrize(
    ("status", "sent"),
    [(200, 200), (204, 204), (301, 301), (404, 400), (408, 400), (413, 400), (422, 422),
     (500, 500), (502, 500), (503, 503), (504, 500), (507, 500)],
)  # fmt: skip
def test_a_status_with_a_meaning_inside_the_server_becomes_another(
    load_code: Load, status: int, sent: int
) -> None:
    _, (reply,) = ask(load_code(CODE), Request(picture(1), accept=f"status/{status}"))
    assert (reply.status, reply.body) == (sent, b"own")


@pytest.mark.parametrize("phrase", ["too\r\nX-Evil: 1", "a\n\tb", "Ö\u2028\x00", "x" * 5000, ""])
def test_a_phrase_is_one_short_line(load_code: Load, phrase: str) -> None:
    """People pass the text of an exception, which can have several lines."""
    _, (reply,) = ask(load_code(CODE), Request(picture(1), accept=f"phrase/{phrase}"))
    assert (reply.status, reply.body) == (422, b"own")
    assert reply.phrase.isprintable()
    assert reply.phrase.isascii()
    assert len(reply.phrase) <= 100


@pytest.mark.parametrize("kind", ["panic", "interrupt"])
def test_no_exception_ends_a_worker(load_code: Load, kind: str) -> None:
    _, (failed, fine) = ask(
        load_code(CODE),
        Request(picture(1), accept=f"{kind}/x"),
        Request(picture(1), accept="a/b"),
    )
    assert (failed.status, fine.status) == (500, 200)


def test_a_content_type_has_the_length_of_one(load_code: Load) -> None:
    _, (reply,) = ask(load_code(CODE), Request(picture(1), accept="type/x"))
    assert reply.status == 500


@pytest.mark.parametrize("accept", ["application/json\t;\tq=0.9", "a/" + "b" * 2000])
def test_a_client_s_odd_accept_is_no_content_type(load_code: Load, accept: str) -> None:
    _, (reply,) = ask(load_code(CODE), Request(picture(1), accept=accept))
    assert (reply.status, reply.body) == (200, b"own")
    assert reply.content_type.rstrip(" ") == "application/json"


@pytest.fixture(scope="module")
def own(trained: Path, nginx: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    file = tmp_path_factory.mktemp("own") / "inference.py"
    file.write_text(CODE)
    with serving(trained, KENNEL_CODE=str(file)) as running:
        running.wait_for_ping(200)
        yield running


@pytest.mark.slow
def test_each_status_comes_through_a_whole_server(own: Running) -> None:
    workers = {one.pid for one in own.parts("kennel-worker")}
    for accept, status in {
        "status/404": 400,
        "status/-1": 500,
        "status/100": 500,
        'status/"404"': 500,
        "status/504": 500,
        "error/404": 400,
        "error/418": 400,
        "error/499": 499,
        "panic/x": 500,
        "type/x": 500,
        "a/b": 200,
    }.items():
        answer = own.classify(picture(1), Accept=accept)
        assert answer.status == status, accept
        if accept.startswith("error/"):
            assert json.loads(answer.body)["message"] == "no such dog"
    assert workers == {one.pid for one in own.parts("kennel-worker")}

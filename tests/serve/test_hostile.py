"""Hostile bodies: each gets one of our answers, and the worker keeps running.

Two thousand are generated here from pictures of every format and from other bodies; the others are
written by hand. benchmarks/serving_hostile.py sends more of them to a whole server.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mms.service import Service
from PIL import Image

from serve.formats import contents
from tests.serve import hostile
from tests.serve.conftest import picture
from tests.serve.hostile import CORE, mutated
from tests.serve.test_handler import environment
from tests.serve.worker import Reply, Request, ask, load


@pytest.fixture(scope="module")
def worker(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    run_dir = tmp_path_factory.mktemp("run") / "r"
    with pytest.MonkeyPatch.context() as monkeypatch:
        environment(monkeypatch, trained, run_dir)
        yield load(run_dir / "empty")


def check(reply: Reply) -> None:
    assert reply.status in (200, 400, 406, 415, 422), reply.body
    if reply.status != 200:
        assert set(reply.json()) == {"code", "message", "hint", "request_id"}
        assert len(reply.body) < 2000, "no answer repeats the body"


@pytest.mark.filterwarnings("ignore")  # Pillow warns about many of them
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(mutated(), min_size=8, max_size=8))
def test_mutated_bodies_are_answered(worker: Service, requests: list[Request]) -> None:
    code, replies = ask(worker, *requests)
    assert (code, len(replies)) == (200, 8)
    for reply in replies:
        check(reply)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(max_size=60).filter(lambda text: "\0" not in text),
    st.text(max_size=60),
    st.text(max_size=60),
)
def test_any_header_is_answered(
    worker: Service, content_type: str, accept: str, query: str
) -> None:
    _, (reply,) = ask(worker, Request(picture(1), content_type, accept, query))
    check(reply)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CORE)
def test_the_worst_bodies_are_answered_with_every_content_type(worker: Service, name: str) -> None:
    _, replies = ask(worker, *(Request(CORE[name], kind) for kind in contents.READERS))
    for reply in replies:
        check(reply)
    good = name in ("a JPEG and HTML", "more pixels than declared")  # extra bytes are ignored
    assert (replies[0].status == 200) == good


@pytest.mark.filterwarnings("ignore")
def test_all_bodies_written_by_hand_are_answered(worker: Service) -> None:
    bodies = hostile.hand_made()
    assert len(bodies) >= 200
    names = list(bodies)
    for start in range(0, len(names), 8):
        some = names[start : start + 8]
        code, replies = ask(worker, *(bodies[name] for name in some))
        assert (code, len(replies)) == (200, len(some)), some
        for reply in replies:
            check(reply)


@pytest.mark.filterwarnings("ignore")
def test_memory_does_not_grow_with_bad_requests(worker: Service) -> None:
    requests = [Request(body) for body in CORE.values()]
    buffer = io.BytesIO()
    Image.effect_noise((2000, 1500), 90).convert("RGB").save(buffer, "JPEG")
    requests.append(Request(buffer.getvalue()[:-9000]))
    for _ in range(3):
        ask(worker, *requests)
    before = psutil.Process().memory_info().rss
    for _ in range(30):
        ask(worker, *requests)
    assert psutil.Process().memory_info().rss - before < 50e6

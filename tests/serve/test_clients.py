"""Requests of other people's clients (clients.py, hand_made_clients.py), answered by a worker."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mms.service import Service

from tests.serve.clients import (
    B64,
    LABELS,
    LINE,
    LINES,
    NPY,
    NPY_LIST,
    ONE,
    RAW,
    ROWS,
    TWO_LINES,
    Refused,
    Row,
)
from tests.serve.conftest import CLASSES
from tests.serve.hand_made_clients import HAND_MADE
from tests.serve.test_handler import environment
from tests.serve.worker import Reply, Request, ask, load


@pytest.fixture(scope="module")
def worker(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    run_dir = tmp_path_factory.mktemp("run") / "r"
    with pytest.MonkeyPatch.context() as monkeypatch:
        environment(monkeypatch, trained, run_dir)
        yield load(run_dir / "empty")


Logits = Callable[[bytes], list[float]]


def check(row: Row, reply: Reply, logits: Logits) -> None:
    """Compare an answer with what the table promises."""
    if isinstance(row.answer, Refused):
        assert reply.status == row.answer.status, reply.body
        error = reply.json()
        assert row.answer.words in error["message"] + error["hint"]
        return
    assert reply.status == 200, reply.body
    expected = [pytest.approx(logits(one), abs=1e-3) for one in row.pictures]
    if row.answer in (NPY, NPY_LIST):
        array = np.load(io.BytesIO(reply.body))
        assert array.dtype == np.float32
        assert array.tolist() == (expected[0] if row.answer == NPY else expected)
    elif row.answer in (LINE, TWO_LINES):
        assert reply.content_type.rstrip() == LINES
        lines = reply.body.decode().split("\n")
        best = [CLASSES[int(np.argmax(json.loads(line)["prediction"]))] for line in lines]
        assert best == [CLASSES[int(np.argmax(logits(one)))] for one in row.pictures]
    elif row.answer == LABELS:
        answer = reply.json()
        answers = answer if isinstance(answer, list) else [answer]
        best = [one["predicted_label"] for one in answers]
        assert best == [CLASSES[int(np.argmax(logits(one)))] for one in row.pictures]
        if "top_k" in (row.request.attributes or "") or b"top_k" in row.request.body:
            assert len(answers[0]["labels"]) < len(CLASSES)
    else:
        assert reply.json() == (expected[0] if row.answer == RAW else expected)


@pytest.mark.parametrize("row", [*ROWS, *HAND_MADE], ids=lambda row: row.client)
def test_a_request_of_a_client_gets_its_answer(worker: Service, row: Row, logits: Logits) -> None:
    _, (reply,) = ask(worker, row.request)
    check(row, reply, logits)


def test_the_table_has_its_rows() -> None:
    names = [row.client for row in (*ROWS, *HAND_MADE)]
    assert len(names) == len(set(names)) >= 60


def test_a_bad_line_gets_its_error_and_the_others_their_answers(worker: Service) -> None:
    good = json.dumps({"image": B64})
    body = f'{good}\n{{"image"\n\n{{"image": "aGVsbG8="}}\r\n{good}\n'.encode()
    _, (lines, array, bad) = ask(
        worker,
        Request(body, LINES),
        Request(body, LINES, "application/json"),
        Request(b"{\n}", LINES),
    )
    assert lines.status == 200
    first, broken, text_, last = map(json.loads, lines.body.decode().split("\n"))
    assert first == last
    assert first["prediction"]
    assert broken["code"] == 400
    assert broken["message"].startswith("line 2 is not JSON")
    assert text_["message"].startswith("line 3: ")
    assert text_["request_id"] == "id-0"
    assert (array.status, bad.status) == (400, 400)
    assert "line 2" in array.json()["message"]


def test_lines_can_have_labels(worker: Service) -> None:
    body = f'{{"image": "{B64}", "parameters": {{"top_k": 1}}}}\n'.encode() * 2
    _, (reply, mixed) = ask(
        worker,
        Request(body, LINES, f"{LINES};verbose"),
        Request(body + json.dumps(B64).encode(), LINES, f"{LINES};verbose"),
    )
    assert [len(json.loads(line)["labels"]) for line in reply.body.split(b"\n")] == [1, 1]
    *_, last = mixed.body.split(b"\n")
    assert "other parameters" in json.loads(last)["message"]


LITTER = {
    ".DS_Store": b"\0\0\0\1Bud1" + bytes(99),
    "begins with ._": b"\0\5\x16\7" + bytes(99),
    "Thumbs.db": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(99),
    "desktop.ini": "\ufeff[.ShellClassInfo]".encode("utf-16-le"),
    "desktop.ini of": b"[.ShellClassInfo]\r\n",
    "manifest.json": json.dumps({"sha256": {"a.jpg": "0"}}, indent=1).encode(),
}


@pytest.mark.parametrize("batch", ["true", "false"])
def test_litter_fails_no_batch_transform(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: str
) -> None:
    """SageMaker sends every object below a prefix, and one that is refused fails the job."""
    environment(monkeypatch, trained, tmp_path)
    monkeypatch.setenv("SAGEMAKER_BATCH", batch)
    worker = load(tmp_path / "empty")
    for name, body in LITTER.items():
        _, (reply, good) = ask(worker, Request(body, "application/x-image"), Request(ONE))
        assert (reply.status, good.status) == (200 if batch == "true" else 400, 200)
        assert name in reply.json()["message"] or batch == "false"
    _, replies = ask(worker, Request(b"text"), Request(b""), Request(b'{"sha": 1}'))
    assert [reply.status for reply in replies] == [400] * 3

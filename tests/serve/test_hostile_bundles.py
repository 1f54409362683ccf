"""Hostile bundles on a real multi-model server: refused, and no neighbour loses a request."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from classifier import bundle
from tests.classifier.test_bundle_hostile import DESCRIPTIONS, TENSORS, good, replace, reseal
from tests.serve.conftest import picture
from tests.serve.running import Answer, Running, serving

__all__ = ["good"]  # the fixture: a small sound bundle

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}


def _described(name: str) -> Callable[[Path], None]:
    return lambda folder: reseal(folder, **DESCRIPTIONS[name][0])


def _with_tensors(name: str) -> Callable[[Path], None]:
    return lambda folder: replace(folder, *TENSORS[name][:2])


def _written(name: str, data: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return write


def _huge(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with (folder / name).open("wb") as file:
            file.truncate(2**40)

    return write


def _wrong_logits(folder: Path) -> None:
    replace(folder, bundle.GOLDEN, lambda golden: golden["logits"].add_(1))


def _forged_name(folder: Path) -> None:
    reseal(folder, architecture="x\n2026-01-01 00:00:00 INFO  kennel: ready\x1b[2J")


HOSTILE: dict[str, Callable[[Path], None]] = {
    **{name: _described(name) for name in DESCRIPTIONS},
    **{name: _with_tensors(name) for name in TENSORS},
    "deep lists": _written(bundle.DESCRIPTION, b"[" * 100_000),
    "empty JSON": _written(bundle.DESCRIPTION, b""),
    "empty weights": _written(bundle.MODEL, b""),
    "weights of a terabyte": _huge(bundle.MODEL),
    "golden inputs of a terabyte": _huge(bundle.GOLDEN),
    "a description of a terabyte": _huge(bundle.DESCRIPTION),
    "other logits": _wrong_logits,
    "a name that writes a line": _forged_name,
}


def test_hostile_bundles_harm_no_neighbour(
    trained: Path, good: Path, tmp_path: Path, nginx: None
) -> None:
    models = tmp_path / "models"
    shutil.copytree(trained / "model", models / "dogs")
    for number, spoil in enumerate(HOSTILE.values()):
        shutil.copytree(good, models / f"hostile-{number}")
        spoil(models / f"hostile-{number}")
    with serving(tmp_path, SAGEMAKER_MULTI_MODEL="true") as server:
        server.wait_for_ping(200)
        assert load(server, "dogs", models / "dogs").status == 200
        workers = server.parts("worker")
        ended, answers = threading.Event(), list[Answer]()

        def invoke() -> None:
            kind = {"Content-Type": "image/jpeg"}
            while not ended.is_set():
                answers.append(server.ask("POST", "/models/dogs/invoke", picture(1), kind))
                answers.append(server.ask("GET", "/ping"))

        neighbour = threading.Thread(target=invoke)
        neighbour.start()
        try:
            for number, name in enumerate(HOSTILE):
                refused = load(server, f"hostile-{number}", models / f"hostile-{number}")
                assert refused.status in (400, 507), (name, refused.body)
                assert refused.json()["message"], name
        finally:
            ended.set()
            neighbour.join(60)
        assert len(HOSTILE) >= 30
        assert len(answers) > 30
        assert {one.status for one in answers} == {200}
        assert server.parts("worker") == workers
        assert [one["modelName"] for one in server.ask("GET", "/models").json()["models"]] == [
            "dogs"
        ]
        # A name that is refused is free for a sound bundle.
        assert load(server, "hostile-0", models / "dogs").status == 200
        assert not [line for line in server.log.splitlines() if line.startswith("2026-01-01")]
        assert "\x1b" not in server.log


def load(server: Running, name: str, directory: Path) -> Answer:
    fields = {"model_name": name, "url": str(directory)}
    return server.ask("POST", "/models", json.dumps(fields).encode(), JSON)

"""SageMaker's multi-model contract: in a worker alone, and through the whole server."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mms.service import Service

from classifier import bundle
from serve import machine, registry
from tests.serve.conftest import picture
from tests.serve.running import Running, serving, until
from tests.serve.test_handler import environment, tamper
from tests.serve.worker import Reply, Request, ask, load

Infer = Callable[[bytes], list[float]]


def call(
    service: Service, verb: str, path: str = "/models", fields: dict[str, object] | None = None
) -> Reply:
    body = json.dumps(fields).encode() if fields else b""
    _, (reply,) = ask(service, Request(body, call=f"{verb} {path}"))
    return reply


def named(name: str, directory: Path) -> dict[str, object]:
    return {"model_name": name, "url": str(directory)}


@pytest.fixture
def worker(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    environment(monkeypatch, tmp_path, tmp_path / "r")
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    shutil.copytree(trained / "model", tmp_path / "models" / "one")
    return load(tmp_path / "r" / "empty", "serve.registry:handle")


@pytest.fixture
def other(trained: Path, tmp_path: Path) -> Path:
    """A bundle with the same backbone and another head."""
    loaded = bundle.load(trained / "model")
    with torch.no_grad():
        loaded.network.get_parameter("fc.bias").add_(1.0)
    golden = bundle.Golden(loaded.golden.photos, loaded.golden.logits + 1.0)
    directory = tmp_path / "models" / "other"
    bundle.save(bundle.Bundle(loaded.description, loaded.network, golden), directory)
    return directory


def test_models_are_loaded_listed_invoked_and_unloaded(
    worker: Service, other: Path, logits: Infer
) -> None:
    one_s = other.parent / "one"
    assert call(worker, "GET").json() == {"models": []}
    for name, directory in (("one", one_s), ("two", other)):
        assert call(worker, "POST", fields=named(name, directory)).status == 200
    about = {"modelName": "one", "modelUrl": str(one_s)}
    assert call(worker, "GET", "/models/one").json() == about
    assert [one["modelName"] for one in call(worker, "GET").json()["models"]] == ["one", "two"]
    assert call(worker, "POST", fields=named("one", other)).status == 409

    expected = logits(picture(1))
    asked = [Request(picture(1), call=f"POST /models/{name}/invoke") for name in ("two", "one")]
    gone = Request(picture(1), call="POST /models/three/invoke")
    _, (two, bad, missing, one) = ask(
        worker, asked[0], Request(b"text", call="POST /models/one/invoke"), gone, asked[1]
    )
    assert one.json() == pytest.approx(expected, abs=1e-4)
    assert two.json() == pytest.approx([logit + 1 for logit in expected], abs=1e-4)
    assert (bad.status, missing.status) == (400, 404)

    assert call(worker, "DELETE", "/models/one").status == 200
    assert call(worker, "DELETE", "/models/one").status == 404
    assert call(worker, "GET", "/models/one").status == 404
    _, (two, one) = ask(worker, *asked)
    assert (two.status, one.status) == (200, 404)


def test_equal_weights_are_stored_once_and_freed_with_the_last_model(
    worker: Service, other: Path
) -> None:
    pool = registry._handler._weights
    call(worker, "POST", fields=named("one", other.parent / "one"))
    alone = len(pool)
    call(worker, "POST", fields=named("two", other))
    assert len(pool) == alone + 1, "only the changed bias is new"
    engines = [registry._handler._models[name][1].engine for name in ("one", "two")]
    first, second = (next(one.network.parameters()) for one in engines)  # type: ignore[attr-defined]
    assert first is second
    del engines, first, second
    call(worker, "DELETE", "/models/one")
    assert len(pool) == alone
    call(worker, "DELETE", "/models/two")
    assert len(pool) == 0


def test_a_failed_load_is_refused_with_the_reason(
    worker: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    model = models / "one"
    assert call(worker, "POST", fields=named("a/b", model)).status == 400
    assert call(worker, "POST", fields={"model_name": "x"}).status == 400
    assert call(worker, "POST").status == 400
    assert "kennel.json" in call(worker, "POST", fields=named("x", models / "no")).json()["message"]
    tamper(model)
    refused = call(worker, "POST", fields=named("x", model))
    assert refused.status == 400
    assert "damaged" in refused.json()["message"]
    monkeypatch.setattr(machine, "available_memory_mb", lambda: 300)
    short = call(worker, "POST", fields=named("x", model))
    assert short.status == 507
    assert "unload" in short.json()["hint"]
    assert call(worker, "GET").json() == {"models": []}
    for verb, path in (("DELETE", "/models"), ("GET", "/models/x/invoke"), ("POST", "/models/x")):
        assert call(worker, verb, path).status == 405


def test_available_memory_is_at_most_the_memory_of_the_machine() -> None:
    assert 0 < machine.available_memory_mb() <= machine.memory_mb()


def test_a_bundle_is_loaded_from_below_the_models_folder_only(
    worker: Service, trained: Path, tmp_path: Path
) -> None:
    """Whatever the path says, and wherever its links lead."""
    models = tmp_path / "models"
    (models / "link").symlink_to(trained / "model")
    (models / "circle").symlink_to(models / "circle")
    for name in ("file", "pipe"):
        shutil.copytree(models / "one", models / name)
        (models / name / bundle.GOLDEN).unlink()
    (models / "file" / bundle.GOLDEN).symlink_to(trained / "model" / bundle.GOLDEN)
    os.mkfifo(models / "pipe" / bundle.GOLDEN)
    sibling = tmp_path / "models-2"
    shutil.copytree(models / "one", sibling)
    for url, reason in {
        str(trained / "model"): "is not below",
        str(sibling): "is not below",
        str(models): "is not below",
        f"{models}/../models-2": "is not below",
        f"{models}/one/../../models-2": "is not below",
        f"{models}/link": "is not below",
        f"{models}/circle": "no such|missing|not a path",
        f"{models}/file": "leads out of the bundle",
        f"{models}/pipe": "not a regular file",
        "models/one": "is not below",
        "one": "is not below",
        "": "is not below",
        "/": "is not below",
        f"file://{models}/one": "is not below",
        "https://example.com/model.tar.gz": "is not below",
        f"{models}/one\0": "not a path",
        f"{models}/{'x' * 5000}": "not a path",
        f"{models}/\ud800": "not a path",
        f"{models}/one/kennel.json": "",
        "/proc/self/root" + str(trained / "model"): "is not below",
    }.items():
        refused = call(worker, "POST", fields={"model_name": "x", "url": url})
        assert refused.status == 400, url
        assert re.search(reason, refused.json()["message"]), (url, refused.json())
    within = models / "within"
    within.symlink_to(models / "one")
    for url in (f"{models}/one", f"{models}/./one/", f"{models}/within"):
        assert call(worker, "POST", fields={"model_name": "x", "url": url}).status == 200, url
        assert call(worker, "DELETE", "/models/x").status == 200


def check_methods(server: Running) -> None:
    for path, methods in {
        "/models": "GET, POST",
        "/models/dogs-1.0": "GET, DELETE",
        "/models/dogs-1.0/invoke": "POST",
    }.items():
        for method in ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"):
            if method not in methods.split(", "):
                answer = server.ask(method, path)
                assert (answer.status, answer.headers["allow"]) == (405, methods), (method, path)


@pytest.mark.slow
def test_the_server_implements_the_contract_and_models_survive_a_worker(
    trained: Path, tmp_path: Path, logits: Infer, nginx: None
) -> None:
    shutil.copytree(trained / "model", tmp_path / "models" / "dogs")
    fields = json.dumps(named("dogs-1.0", tmp_path / "models" / "dogs"))
    as_json = {"Content-Type": "application/json"}
    with serving(tmp_path, SAGEMAKER_MULTI_MODEL="true") as server:
        server.wait_for_ping(200)
        invoke = "/models/dogs-1.0/invoke"
        jpeg = {"Content-Type": "image/jpeg"}
        assert server.ask("POST", invoke, picture(1), jpeg).status == 404
        assert server.ask("GET", "/models").json() == {"models": []}
        assert server.ask("POST", "/models", fields.encode(), as_json).status == 200
        assert server.ask("POST", "/models", fields.encode(), as_json).status == 409

        def right() -> bool | None:
            answer = server.ask("POST", invoke, picture(1), jpeg)
            expected = pytest.approx(logits(picture(1)), abs=1e-4)
            return True if answer.status == 200 and answer.json() == expected else None

        assert right()
        _, worker = server.parts("worker")
        server.kill(worker)
        server.wait_for_another(worker)
        assert until(right)
        assert server.ask("GET", "/invocations").status == 404
        check_methods(server)
        assert server.ask("GET", "/models/dogs-1.0/../x").status == 404
        assert server.ask("DELETE", "/models/dogs-1.0").status == 200
        assert server.ask("DELETE", "/models/dogs-1.0").status == 404


@pytest.mark.parametrize("fields", [{"model_name": None}, {"model_name": 5}, {"url": None}])
def test_names_and_paths_are_texts(
    worker: Service, tmp_path: Path, fields: dict[str, object]
) -> None:
    refused = call(worker, "POST", fields=named("one", tmp_path / "models" / "one") | fields)
    assert refused.status == 400
    assert "model_name and url" in refused.json()["message"]


def test_bundles_with_and_without_exports_are_served_together(
    worker: Service, exported: Path, tmp_path: Path
) -> None:
    """Each by its own engine; OpenVINO shares no weights, and its memory is freed too."""
    models = tmp_path / "models"
    shutil.copytree(exported, models / "exported")
    for name in ("one", "exported"):
        assert call(worker, "POST", fields=named(name, models / name)).status == 200
    engines = {name: one[1].engine.name for name, one in registry._handler._models.items()}
    assert engines == {"one": "torch", "exported": "openvino"}
    asked = [Request(picture(1), call=f"POST /models/{name}/invoke") for name in engines]
    _, replies = ask(worker, *asked)
    assert [(reply.status, len(reply.json())) for reply in replies] == [(200, 5), (200, 3)]
    for name in engines:
        assert call(worker, "DELETE", f"/models/{name}").status == 200
    assert not registry._handler._models

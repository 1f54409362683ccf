"""A worker with the user's own code around the bundle, or instead of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mms.service import Service

from serve import user_code
from serve.front import health
from tests.serve import worker
from tests.serve.conftest import picture
from tests.serve.test_handler import environment
from tests.serve.worker import Request, ask

INFERENCE_PY = """
import io, json
from pathlib import Path
import safetensors.torch, torch, torchvision
from PIL import Image
from torchvision import transforms

PREPARE = transforms.Compose([
    transforms.Resize(72), transforms.CenterCrop(64), transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])

def model_fn(model_dir):
    state = safetensors.torch.load_file(Path(model_dir, "model.safetensors"))
    network = torchvision.models.resnet18(num_classes=len(state["fc.bias"]))
    network.load_state_dict(state)
    return network.eval()

def input_fn(body, content_type, context):
    assert context.system_properties
    if content_type != "image/jpeg":
        raise ValueError(f"no {content_type}")
    return PREPARE(Image.open(io.BytesIO(body)).convert("RGB")).unsqueeze(0)

def predict_fn(pixels, network):
    return network(pixels)

def output_fn(logits, accept):
    return json.dumps({"own": logits[0].tolist()}), accept
"""


@pytest.fixture
def load_code(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, import_state: None
) -> Callable[[str], Service]:
    def load(code: str) -> Service:
        run_dir = tmp_path / str(len(list(tmp_path.iterdir())))
        environment(monkeypatch, trained, run_dir)
        file = run_dir / "inference.py"
        file.write_text(code)
        monkeypatch.setenv("KENNEL_CODE", str(file))
        return worker.load(run_dir / "empty", "serve.custom:handle")

    return load


def test_an_inference_py_for_the_toolkit_works_unchanged(
    load_code: Callable[[str], Service], logits: Callable[[bytes], list[float]]
) -> None:
    service = load_code(INFERENCE_PY)
    _, (good, bad, broken) = ask(
        service,
        Request(picture(1), accept="application/x-own"),
        Request(picture(1), "text/csv"),
        Request(b"text"),
    )
    assert good.json()["own"] == pytest.approx(logits(picture(1)), abs=1e-3)
    assert good.content_type.rstrip(" ") == "application/x-own"
    assert (bad.status, broken.status) == (400, 400)
    assert "no text/csv" in bad.json()["message"]


def test_missing_functions_are_ours(
    load_code: Callable[[str], Service],
    logits: Callable[[bytes], list[float]],
    tmp_path: Path,
) -> None:
    service = load_code("def predict_fn(data, model):\n    return -model(data)\n")
    (mine,) = health.reports(tmp_path / "0" / "workers")
    assert mine.difference is not None
    _, (raw, verbose, bad) = ask(
        service,
        Request(picture(1)),
        Request(picture(1), accept="application/json;verbose", query="top_k=1"),
        Request(b"text"),
    )
    expected = [-logit for logit in logits(picture(1))]
    assert raw.json() == pytest.approx(expected, abs=1e-3)
    assert len(verbose.json()["labels"]) == 1
    assert bad.status == 400


def test_code_that_fails_fails_only_its_request(load_code: Callable[[str], Service]) -> None:
    service = load_code(
        "class Busy(Exception):\n    status_code = 429\n"
        "def output_fn(prediction, accept):\n"
        "    if accept == 'a/b': raise Busy('later')\n"
        "    if accept == 'c/d': raise KeyError('x')\n"
        "    return 'fine'\n"
    )
    requests = [Request(picture(1), accept=accept) for accept in (None, "application/json")]
    requests += [Request(picture(1), accept=accept) for accept in ("a/b", "c/d", "*/*")]
    _, replies = ask(service, *requests)
    fine = b"fine"
    assert [reply.status for reply in replies] == [200, 200, 429, 500, 200]
    assert [replies[place].body for place in (0, 1, 4)] == [fine] * 3
    service = load_code(
        "class Busy(Exception):\n    status_code = 429\n"
        "def predict_fn(data, model):\n    raise Busy('later')\n"
    )
    _, (busy,) = ask(service, Request(picture(1)))
    assert (busy.status, busy.json()["message"]) == (429, "later")
    service = load_code("def predict_fn(data, model):\n    raise KeyError('x')\n")
    _, (failed,) = ask(service, Request(picture(1)))
    assert failed.status == 500
    assert set(json.loads(failed.body)) == {"code", "message", "hint", "request_id"}


def test_a_model_fn_alone_is_not_enough(load_code: Callable[[str], Service]) -> None:
    with pytest.raises(user_code.CodeError, match="input_fn and a predict_fn"):
        load_code("def model_fn(model_dir):\n    return None\n")

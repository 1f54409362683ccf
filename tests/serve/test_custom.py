"""A worker with the user's own code around the bundle, or instead of it."""

import io
import json
import logging
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mms.service import Service

from serve import user_code
from serve.front import health
from serve.user_functions import UserFunctions
from tests.serve import worker
from tests.serve.conftest import CLASSES, picture
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


# As in AWS's examples of the PyTorch container.
MODEL_FN = """
import os, safetensors.torch, torch, torchvision
from pathlib import Path
def model_fn(model_dir):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state = safetensors.torch.load_file(Path(model_dir, "model.safetensors"))
    model = torchvision.models.resnet18(num_classes=len(state["fc.bias"]))
    model.load_state_dict(state)
    return model.to(device)
"""
SCRIPTED = """
import os, torch
def model_fn(model_dir):
    return torch.jit.load(os.path.join(model_dir, "model.pt"))
"""
Load = Callable[..., Service]


@pytest.fixture
def load_code(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, import_state: None
) -> Load:
    def load(code: str, base_dir: Path = trained, named: str | None = None) -> Service:
        run_dir = tmp_path / str(len(list(tmp_path.iterdir())))
        environment(monkeypatch, base_dir, run_dir)
        file = run_dir / "inference.py"
        file.write_text(code)
        monkeypatch.setenv("KENNEL_CODE", named or str(file))
        return worker.load(run_dir / "empty", "serve.custom:handle")

    return load


def test_an_inference_py_for_the_toolkit_works_unchanged(
    load_code: Load, logits: Callable[[bytes], list[float]]
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
    load_code: Load,
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


def test_code_that_fails_fails_only_its_request(load_code: Load) -> None:
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


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


# torch says so wherever TorchScript is saved or loaded.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")


@pytest.fixture
def scripted(tmp_path: Path) -> Path:
    """A model directory without a bundle: TorchScript, as AWS's examples save it."""
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4)
    )
    (tmp_path / "ml" / "model").mkdir(parents=True)
    torch.jit.script(network).save(str(tmp_path / "ml" / "model" / "model.pt"))  # type: ignore[no-untyped-call]
    return tmp_path / "ml"


def test_a_model_fn_alone_has_our_decoder_and_formats(
    load_code: Load, logits: Callable[[bytes], list[float]]
) -> None:
    service = load_code(MODEL_FN)
    photo = picture(1)
    _, (raw, verbose, heat) = ask(
        service,
        Request(photo),
        Request(photo, accept="application/json;verbose"),
        Request(photo, accept="application/json;verbose", query="explain=gradcam"),
    )
    assert raw.json() == pytest.approx(logits(photo), abs=1e-3)
    assert verbose.json()["labels"] == list(CLASSES)
    assert heat.status == 400
    assert "model_fn" in heat.json()["hint"]


def test_a_model_fn_alone_serves_a_folder_without_a_bundle(
    load_code: Load, scripted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pictures by the usual transform, which the log names; floats as the toolkit takes them."""
    with caplog.at_level(logging.WARNING):
        service = load_code(SCRIPTED, scripted)
    assert "cropped to 224" in caplog.text
    assert "classes are numbered" in caplog.text
    tensor = np.random.default_rng(0).normal(size=(2, 3, 8, 9)).astype(np.float32)
    network = torch.jit.load(str(scripted / "model" / "model.pt"))  # type: ignore[no-untyped-call]
    expected = network(torch.from_numpy(tensor)).tolist()
    kinds = ("<f4", ">f8")
    _, (photo, *floats, half, cut) = ask(
        service,
        Request(picture(1), accept="application/json;verbose", query="top_k=2"),
        *(Request(npy(tensor.astype(kind)), "application/x-npy") for kind in kinds),
        Request(npy(tensor.astype("f2")), "application/x-npy", "application/x-npy"),
        Request(npy(tensor)[:-1], "application/x-npy"),
    )
    assert set(photo.json()["labels"]) <= set("0123")
    for reply in floats:
        assert reply.json() == [pytest.approx(row, abs=1e-4) for row in expected]
    assert np.load(io.BytesIO(half.body)) == pytest.approx(np.array(expected), abs=1e-2)
    assert cut.status == 400


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("None", "raises TypeError"),
        ("lambda x: x", "returns \\[1, 3, 64, 64\\]"),
        ("lambda x: {'logits': 1}", "returns dict"),
        ("lambda x: x.mean(dim=(2, 3))", "has 3 outputs, but kennel.json has 5"),
        ("torch.nn.Linear(9, 2)", "raises RuntimeError"),
    ],
)
def test_a_model_fn_alone_that_does_not_fit_is_refused_with_what_to_add(
    load_code: Load, model: str, reason: str
) -> None:
    with pytest.raises(user_code.CodeError, match=reason) as refusal:
        load_code(f"import torch\ndef model_fn(model_dir):\n    return {model}\n")
    assert "add " in str(refusal.value)


STEPS = {
    "input_fn": "def input_fn(body, kind):\n    return torch.ones((1, 3, 64, 64))\n",
    "predict_fn": "def predict_fn(data, model):\n    return model(data)\n",
    "output_fn": "def output_fn(prediction, accept):\n    return prediction.tolist()[0]\n",
}


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("model", [pytest.param(False, marks=pytest.mark.slow), True])
def test_every_choice_of_functions_works(load_code: Load, count: int, model: bool) -> None:
    for names in combinations(STEPS, count):
        if not (names or model):
            continue
        code = "import torch\n" + (MODEL_FN if model else "") + "".join(map(STEPS.get, names))  # type: ignore[arg-type]
        _, (reply,) = ask(load_code(code), Request(picture(1)))
        assert reply.status == 200, (names, reply.body)
        row = reply.json()
        row = row[0] if isinstance(row[0], list) else row
        assert len(row) == len(CLASSES), names


def test_logits_of_the_bundle_have_our_formats_whoever_read_the_request(load_code: Load) -> None:
    service = load_code("import torch\n" + STEPS["input_fn"])
    labels = "application/json;verbose"
    _, (raw, verbose, heat) = ask(
        service,
        Request(b"x"),
        Request(b"x", accept=labels, query="top_k=2"),
        Request(b"x", accept=labels, query="explain=gradcam"),
    )
    assert len(raw.json()[0]) == len(CLASSES)
    assert len(verbose.json()[0]["labels"]) == 2
    assert (heat.status, "input_fn" in heat.json()["hint"]) == (400, True)


def test_a_transform_fn_replaces_the_three(load_code: Load) -> None:
    code = """
def transform_fn(model, body, content_type, accept, context):
    assert context.get_request_header(0, "Content-Type") == content_type
    kind = type(body).__name__
    return f"{len(body)} {kind} {content_type} {accept}", "text/plain"
"""
    _, replies = ask(
        load_code(MODEL_FN + code),
        Request(b"abc", "image/x", "a/b"),
        Request(b"{}", "application/json"),
        Request(b"1,2", "text/csv"),
    )
    assert [reply.body for reply in replies] == [
        b"3 bytes image/x a/b",
        b"2 str application/json application/json",
        b"3 str text/csv application/json",
    ]
    assert replies[0].content_type.strip() == "text/plain"
    with pytest.raises(user_code.CodeError, match="transform_fn replaces output_fn"):
        load_code(code + STEPS["output_fn"])


@pytest.mark.parametrize(
    "signature",
    [
        "data, model",
        "data, model, context",
        "data, model, context=None",
        "data, model, ctx",
        "data, model, *, context",
        "data, model, **more",
        "data, model, scale=1.0",
        "*given",
        "data, /, model",
    ],
)
def test_the_context_is_passed_where_it_is_taken(signature: str) -> None:
    module = ModuleType("m")
    exec(f"def predict_fn({signature}):\n    return locals()", module.__dict__)  # noqa: S102
    got = UserFunctions(module, "m").call("predict_fn", "C", 1, 2)
    assert ("C" in got.values()) == ("context" in signature or "ctx" in signature)
    assert got.get("scale", 1.0) == 1.0


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def predict_fn(data):\n    return data", "takes 1 arguments: it gets 2"),
        ("def predict_fn(a, b, c, d):\n    return a", "takes 4 arguments"),
        ("def predict_fn(a, b, *, c):\n    return a", None),
        ("async def predict_fn(a, b):\n    return a", "plain function"),
        ("class A:\n    async def __call__(self, a, b): ...\npredict_fn = A()", "plain function"),
        ("predict_fn = 3", "plain function"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_at_the_start(
    code: str, reason: str | None
) -> None:
    module = ModuleType("m")
    exec(code, module.__dict__)  # noqa: S102
    with pytest.raises(user_code.CodeError, match=reason or "arguments"):
        UserFunctions(module, "m")


def test_predictions_of_other_shapes_are_written_as_the_toolkit_writes_them(
    load_code: Load,
) -> None:
    service = load_code(
        "import numpy\ndef predict_fn(data, model):\n    return numpy.arange(6).reshape(2, 3)\n"
    )
    accepts = (None, "text/csv", "application/x-npy", "application/json;verbose")
    _, (default, csv, array, labels) = ask(
        service, *(Request(picture(1), accept=accept) for accept in accepts)
    )
    assert default.json() == [[0, 1, 2], [3, 4, 5]]
    assert csv.body == b"0,1,2\n3,4,5"
    assert np.load(io.BytesIO(array.body)).tolist() == default.json()
    assert labels.status == 406


def test_the_logits_of_one_picture_can_be_a_row(load_code: Load) -> None:
    """As `network(pixels)[0]` and `squeeze()` return them."""
    count = len(CLASSES)
    service = load_code(
        f"import torch\ndef predict_fn(data, model):\n    return torch.arange({count}.0)\n"
    )
    _, (raw, labels) = ask(
        service, Request(picture(1)), Request(picture(1), accept="application/json;verbose")
    )
    assert raw.json() == list(range(count))
    assert labels.json()["predicted_label"] == CLASSES[-1]


def test_the_bundle_s_own_code_runs_with_kennel_code_bundle(
    load_code: Load, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bundle_copy / "model" / "code"
    folder.mkdir()
    (folder / "inference.py").write_text("from names import SAY\n" + STEPS["predict_fn"])
    (folder / "names.py").write_text("SAY = 'x'\n")
    (folder / "other.py").write_text("def output_fn(prediction, accept):\n    return 'other'\n")
    _, (reply,) = ask(load_code("", bundle_copy, "bundle"), Request(picture(1)))
    assert len(reply.json()) == len(CLASSES)
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "other.py")
    _, (reply,) = ask(load_code("", bundle_copy, "bundle"), Request(picture(1)))
    assert reply.body == b"other"

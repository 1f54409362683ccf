"""Errors of a user's code, written as public code for SageMaker writes them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from serve import user_code
from tests.serve.conftest import picture
from tests.serve.running import ROOT
from tests.serve.test_custom import Load, load_code
from tests.serve.worker import Request, ask

__all__ = ["load_code"]  # the fixture

JSON = "application/json"
INPUT_FN = """
import io, json
from PIL import Image
def model_fn(model_dir):
    return None
def input_fn(body, content_type):
    if content_type == "image/jpeg":
        return Image.open(io.BytesIO(body))
    if content_type == "application/json":
        return Image.new("RGB", json.loads(body)["size"])
    if content_type == "a/bug":
        return no_such_name
    if content_type == "a/file":
        return open("/no/such/file")
    raise Exception("Requested unsupported ContentType in content_type: " + content_type)
def predict_fn(image, model):
    return image.convert("RGB").size
"""


def test_what_input_fn_cannot_read_is_the_client_s_mistake(load_code: Load) -> None:
    service = load_code(INPUT_FN)
    good = json.dumps({"size": [3, 2]}).encode()
    refused = {
        "unsupported ContentType in content_type: image/png": Request(b"x", "image/png"),
        "unsupported ContentType in content_type: ": Request(b"x", None),
        "KeyError: 'size'": Request(b"{}", JSON),
        "TypeError: list indices": Request(b"[]", JSON),
        "Expecting value": Request(b"x", JSON),
    }
    _, (fine, *replies) = ask(service, Request(good, JSON), *refused.values())
    assert fine.json() == [3, 2]
    for words, reply in zip(refused, replies, strict=True):
        assert (reply.status, words in reply.json()["message"]) == (400, True), reply.body
    _, replies = ask(service, Request(b"x", "a/bug"), Request(b"x", "a/file"))
    assert [reply.status for reply in replies] == [500, 500]


def test_a_picture_that_pillow_cannot_read_is_the_client_s_mistake_in_every_function(
    load_code: Load,
) -> None:
    """Pillow decodes a picture when it is first used: here in predict_fn."""
    _, (fine, cut, text) = ask(
        load_code(INPUT_FN),
        Request(picture(1)),
        Request(picture(1)[:-400]),
        Request(b"text"),
    )
    assert fine.json() == [90, 70]
    assert (cut.status, text.status) == (400, 400)
    assert "damaged or cut short" in cut.json()["message"]
    assert "not a picture" in text.json()["message"]
    assert "object at" not in text.json()["message"]


@pytest.mark.parametrize(
    ("last", "status"),
    [
        ('raise ValueError(f"Unsupported accept type: {accept}")', 406),
        ('raise Exception("Requested unsupported ContentType in Accept: " + accept)', 406),
        ('assert accept == "application/json"', 406),
        ('raise ValueError("no such class")', 500),
        ("return {}[accept]", 406),
        ("a, b = 1, 2, 3", 500),
    ],
)
def test_an_accept_that_output_fn_refuses_is_the_client_s_mistake(
    load_code: Load, last: str, status: int
) -> None:
    code = f"""
def output_fn(prediction, accept):
    if accept == "application/json":
        return "1", accept
    {last}
"""
    accepts = (None, JSON, "text/html")
    _, replies = ask(load_code(code), *(Request(picture(1), accept=one) for one in accepts))
    assert [reply.status for reply in replies] == [200, 200, status]


def test_transform_fn_refuses_types_by_their_names(load_code: Load) -> None:
    code = """
from sagemaker_inference.errors import GenericInferenceToolkitError
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept):
    if content_type != "application/octet-stream":
        raise RuntimeError("Content type must be application/octet-stream. Provided: {0}".format(
            content_type))
    if accept == "a/b":
        raise GenericInferenceToolkitError(422, "too dark for a/b")
    if accept != "application/json":
        raise ValueError("cannot write " + accept)
    if not body:
        raise RuntimeError("out of memory")
    return "1"
"""
    octets = "application/octet-stream"
    _, replies = ask(
        load_code(code),
        Request(b"x", octets),
        Request(b"x", "image/jpeg"),
        Request(b"x", octets, "text/csv"),
        Request(b"x", octets, "a/b"),
        Request(b"", octets),
    )
    assert [reply.status for reply in replies] == [200, 415, 406, 422, 500]


def test_of_a_tuple_only_body_and_content_type_count(
    load_code: Load, caplog: pytest.LogCaptureFixture
) -> None:
    returned = {
        "a/three": '"x", "text/plain", 415',  # as the toolkit reads it
        "a/none": '"x", None',
        "a/score": '"Beagle", 0.93',
        "a/one": '"x",',
    }
    branches = "".join(
        f"    if accept == {accept!r}: return {values}\n" for accept, values in returned.items()
    )
    service = load_code(f"def output_fn(prediction, accept):\n{branches}")
    _, replies = ask(service, *(Request(picture(1), accept=accept) for accept in returned))
    assert [reply.status for reply in replies] == [200, 200, 500, 500]
    assert replies[0].content_type.rstrip() == "text/plain"
    assert "0.93), whose second value is no content type" in caplog.text


def test_the_bundle_s_network_is_a_module_as_in_the_toolkit(
    load_code: Load, logits: Callable[[bytes], list[float]]
) -> None:
    code = """
import torch
def predict_fn(data, model):
    device = next(model.parameters()).device
    model.to(device)
    model.eval()
    with torch.no_grad():
        return model.forward(data.to(device))
"""
    _, (reply,) = ask(load_code(code), Request(picture(1)))
    assert reply.json() == pytest.approx(logits(picture(1)), abs=1e-3)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "import urllib.request\ndef model_fn(model_dir):\n"
            "    return urllib.request.urlopen('file:///no/such/weights')\n",
            r"downloads something .*/no/such/weights.*weights=None",
        ),
        (
            "import subprocess\nsubprocess.check_call(['false', 'install', 'x'])\n"
            "def model_fn(model_dir):\n    return 1\n",
            r"runs a command .*'install', 'x'.*built from this one",
        ),
    ],
)
def test_what_code_fetches_when_it_is_loaded_is_refused_with_what_to_do(
    load_code: Load, code: str, words: str
) -> None:
    with pytest.raises(user_code.CodeError, match=words):
        load_code(code)


def test_code_without_a_model_fn_needs_a_bundle(load_code: Load, tmp_path: Path) -> None:
    (tmp_path / "ml" / "model").mkdir(parents=True)
    (tmp_path / "ml" / "model" / "model.pth").touch()
    with pytest.raises(user_code.CodeError, match=r"kennel import .*; or add a model_fn"):
        load_code("def predict_fn(data, model):\n    return 1\n", tmp_path / "ml")


def test_the_reader_that_the_docs_add_serves_code_for_hugging_face_s_toolkit(
    load_code: Load,
) -> None:
    page = (ROOT / "docs" / "inference-code.md").read_text()
    reader = page.partition("## Code for Hugging Face")[2].partition("```python\n")[2]
    code = """
def model_fn(model_dir):
    return lambda inputs: str(inputs)
def predict_fn(data, model):
    inputs = data.pop("inputs", data)
    return [{"label": model(getattr(inputs, "size", inputs)), "score": 0.5}]
"""
    _, replies = ask(
        load_code(reader.partition("```")[0] + code),
        Request(picture(1)),
        Request(b'{"inputs": "x"}', JSON),
    )
    assert [reply.json()[0]["label"] for reply in replies] == ["(90, 70)", "x"]

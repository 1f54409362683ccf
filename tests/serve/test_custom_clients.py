"""What clients see of a user's code: AWS's examples, with the requests that they do not expect."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from serve import user_code
from tests.serve.conftest import picture
from tests.serve.test_custom import MODEL_FN, Load, load_code, npy
from tests.serve.worker import Request, ask

__all__ = ["load_code"]  # the fixture

VERBOSE = "application/json;verbose"
TENSOR = json.dumps(np.zeros((1, 3, 64, 64)).tolist()).encode()
# As in the toolkit's README.
TOOLKIT = """
import torch
from sagemaker_inference import decoder, encoder
def input_fn(body, content_type):
    return torch.FloatTensor(decoder.decode(body, content_type))
def output_fn(prediction, accept):
    return encoder.encode(prediction.numpy(), accept)
"""
# As in AWS's MNIST example.
ASSERTS = """
import json, torch
def input_fn(request_body, request_content_type):
    assert request_content_type == "application/json"
    return torch.tensor(json.loads(request_body), dtype=torch.float32)
"""
SOFTMAX = """
import torch
def predict_fn(data, model):
    return torch.nn.functional.softmax(model(data), dim=1){}
"""


def test_types_that_the_toolkit_does_not_read_or_write_are_the_client_s_mistake(
    load_code: Load,
) -> None:
    _, (fine, unread, unwritten) = ask(
        load_code(TOOLKIT),
        Request(TENSOR, "application/json"),
        Request(picture(1), "image/jpeg"),
        Request(TENSOR, "application/json", "text/html"),
    )
    assert (fine.status, unread.status, unwritten.status) == (200, 415, 406)
    assert "image/jpeg" in unread.json()["message"]
    assert "text/html" in unwritten.json()["message"]
    _, (unread,) = ask(
        load_code(
            "from sagemaker_inference import decoder\n"
            "def transform_fn(model, body, content_type, accept):\n"
            "    return decoder.decode(body, content_type)\n"
        ),
        Request(picture(1), "image/jpeg"),
    )
    assert unread.status == 415


def test_a_failed_assertion_about_the_request_is_the_client_s_mistake(load_code: Load) -> None:
    _, (fine, wrong) = ask(
        load_code(ASSERTS), Request(TENSOR, "application/json"), Request(picture(1))
    )
    assert (fine.status, wrong.status) == (200, 400)
    assert "AssertionError" in wrong.json()["message"]


def test_an_error_of_the_toolkit_has_its_own_words(load_code: Load) -> None:
    code = (
        "from sagemaker_inference.errors import GenericInferenceToolkitError as Error\n"
        "def predict_fn(data, model):\n    raise Error(422, 'too dark', 'Dark')\n"
    )
    _, (reply,) = ask(load_code(code), Request(picture(1)))
    assert (reply.status, reply.json()["message"]) == (422, "too dark")


@pytest.mark.parametrize("dtype", ["", ".half()"])
def test_probabilities_get_no_second_softmax(load_code: Load, dtype: str) -> None:
    formats = (None, VERBOSE, "text/csv", "application/jsonlines")
    service = load_code(SOFTMAX.format(dtype))
    _, (raw, *written) = ask(service, *(Request(picture(1), accept=one) for one in formats))
    assert sum(raw.json()) == pytest.approx(1, abs=1e-2)
    labels, csv, lines = written
    assert labels.json()["probabilities"] == pytest.approx(raw.json())
    assert "novelty" not in labels.json()
    assert [float(one) for one in csv.body.split(b",")] == pytest.approx(raw.json())
    assert lines.json()["prediction"] == pytest.approx(raw.json())


def test_logits_get_their_softmax(load_code: Load) -> None:
    """A network's own outputs, and those of a predict_fn that only passes them on."""
    for code in (MODEL_FN, "def predict_fn(data, model):\n    return model(data)\n"):
        _, (raw, labels) = ask(
            load_code(code), Request(picture(1)), Request(picture(1), accept=VERBOSE)
        )
        weights = np.exp(np.array(raw.json()) / 2)  # the bundle's temperature
        expected = (weights / weights.sum()).tolist()
        assert labels.json()["probabilities"] == pytest.approx(expected, abs=1e-4)


def test_rows_of_different_lengths_are_json_only(load_code: Load) -> None:
    service = load_code("def predict_fn(data, model):\n    return [[1, 2], [3]]\n")
    accepts = (None, "text/csv", "application/x-npy")
    _, replies = ask(service, *(Request(picture(1), accept=one) for one in accepts))
    assert [reply.status for reply in replies] == [200, 406, 406]
    assert replies[0].json() == [[1, 2], [3]]


def test_an_answer_has_one_content_type(load_code: Load) -> None:
    service = load_code("def output_fn(prediction, accept):\n    return accept, None\n")
    accepts = {
        "application/json, text/plain, */*": "application/json",
        "text/html;q=0.9, */*;q=0.5": "text/html",
        "application/json;verbose": "application/json;verbose",
        "text/*, */*;q=0.1": "application/json",
        "a/b": "a/b",
    }
    _, replies = ask(service, *(Request(picture(1), accept=one) for one in accepts))
    assert [reply.body.decode() for reply in replies] == list(accepts)  # as the toolkit passes it
    assert [reply.content_type.rstrip(" ") for reply in replies] == list(accepts.values())


ODD = """
def output_fn(prediction, accept, context):
    if accept == "a/exit":
        raise SystemExit(3)
    if accept == "a/status":
        context.set_response_status(418, "Teapot", 0)
    return "x", "a/b\\r\\nSet-Cookie: c" if accept == "a/header" else accept
"""


def test_code_cannot_end_a_worker_or_write_headers(load_code: Load) -> None:
    service = load_code(ODD)
    accepts = ("a/exit", "a/status", "a/header", "a/fine")
    _, replies = ask(service, *(Request(picture(1), accept=one) for one in accepts))
    assert [reply.status for reply in replies] == [500, 400, 500, 200]
    assert replies[3].content_type.rstrip(" ") == "a/fine"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package.part\n", "no_such_package.*built from this one"),
        ("import sys\nsys.exit(3)\n", r"sys\.exit\(3\).*__main__"),
    ],
)
def test_code_that_does_not_load_is_told_what_to_do(load_code: Load, code: str, words: str) -> None:
    with pytest.raises(user_code.CodeError, match=words):
        load_code(code + "def predict_fn(data, model):\n    return model(data)\n")


def test_code_of_the_bundle_leaves_the_bundle_as_it_is(
    load_code: Load, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = bundle_copy / "model" / "code"
    folder.mkdir()
    (folder / "inference.py").write_text("import sibling\n" + MODEL_FN)
    (folder / "sibling.py").touch()
    _, (reply,) = ask(load_code("", bundle_copy, "bundle"), Request(picture(1)))
    assert reply.status == 200
    assert sorted(path.name for path in folder.iterdir()) == ["inference.py", "sibling.py"]


def test_a_model_can_return_an_array_of_another_runtime(load_code: Load) -> None:
    code = """
import numpy as np
def model_fn(model_dir):
    return lambda pixels: np.tile(np.arange(5, dtype=np.float32), (len(pixels), 1))
"""
    _, (raw, floats) = ask(
        load_code(code),
        Request(picture(1)),
        Request(npy(np.zeros((2, 3, 8, 8), np.float32)), "application/x-npy", "application/x-npy"),
    )
    assert raw.json() == [0, 1, 2, 3, 4]
    assert np.load(io.BytesIO(floats.body)).shape == (2, 5)


@pytest.mark.parametrize("how", ["numpy()", "numpy().astype('float64')", "softmax(1).numpy()"])
def test_arrays_of_logits_have_our_formats_as_tensors_have(load_code: Load, how: str) -> None:
    """As many public examples end: `return output.cpu().numpy()`."""
    accepts = (None, VERBOSE, "text/csv", "application/jsonlines")
    requests = [Request(picture(1), accept=one) for one in accepts]
    service = load_code(f"def predict_fn(data, model):\n    return model(data).{how}\n")
    _, arrays = ask(service, *requests)
    tensor = how.removesuffix(".numpy()") if "softmax" in how else "detach()"
    service = load_code(f"def predict_fn(data, model):\n    return model(data).{tensor}\n")
    _, tensors = ask(service, *requests)
    assert [reply.status for reply in arrays] == [200] * 4
    for array, expected in zip(arrays, tensors, strict=True):
        assert array.content_type.rstrip(" ") == expected.content_type.rstrip(" ")
        assert array.body == expected.body

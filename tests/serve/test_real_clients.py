"""Real clients against a real server: curl, Node, requests and both SageMaker SDKs.

clients.py has the table; test_clients.py asks all of it, without a server.
"""

import base64
import gzip
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import requests

from tests.scripts.sdk import interpreter
from tests.serve.clients import PIXELS, ROWS, Refused, Row
from tests.serve.conftest import picture
from tests.serve.running import Running
from tests.serve.test_clients import check
from tests.serve.worker import Reply

pytestmark = pytest.mark.slow

Logits = Callable[[bytes], list[float]]
ONE = picture(1)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(ONE)
    return path


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.client)
def test_a_server_answers_as_its_worker_does(server: Running, row: Row, logits: Logits) -> None:
    """nginx and the model server pass types, encodings and bodies on as they are."""
    asked = row.request
    headers = {
        "Content-Type": asked.content_type,
        "Accept": asked.accept,
        "Content-Encoding": asked.encoding,
        "X-Amzn-SageMaker-Custom-Attributes": asked.attributes,
    }
    sent = {name: value.encode() for name, value in headers.items() if value is not None}
    path = "/invocations" + (f"?{asked.query}" if asked.query else "")
    answer = server.ask("POST", path, asked.body, sent)  # type: ignore[arg-type]
    kind = answer.headers["content-type"]
    check(row, Reply("", kind, answer.status, 0, "", 0, answer.body), logits)


CURL = {
    "a body": ["--data-binary", "@photo.jpg"],
    "a body and its type": ["--data-binary", "@photo.jpg", "-H", "Content-Type: image/jpeg"],
    "a body in chunks": ["--data-binary", "@photo.jpg", "-H", "Transfer-Encoding: chunked"],
    "an upload": ["--upload-file", "photo.jpg", "-X", "POST"],
    "a form": ["-F", "picture=@photo.jpg"],
    "a form in base64": ["-F", "picture=@photo.jpg;encoder=base64"],
    "a form in quoted-printable": ["-F", "picture=@photo.jpg;encoder=quoted-printable"],
    "a form with a text of bytes": ["-F", "picture=<photo.jpg"],
    "gzip": ["--data-binary", "@photo.gz", "-H", "Content-Encoding: gzip"],
    "JSON": ["--json", "@photo.json"],
    "JSON without a type": ["--data", "@photo.json"],
}


def curl(server: Running, folder: Path, *arguments: str) -> tuple[int, str]:
    address = f"http://127.0.0.1:{server.port}/invocations"
    done = subprocess.run(
        ["curl", "-s", "-w", "\n%{http_code}", *arguments, address],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(server: Running, photo: Path, logits: Logits) -> None:
    photo.with_suffix(".gz").write_bytes(gzip.compress(ONE, mtime=0))
    photo.with_suffix(".json").write_text(json.dumps({"image": base64.b64encode(ONE).decode()}))
    for name, arguments in CURL.items():
        status, body = curl(server, photo.parent, *arguments)
        assert status == 200, (name, body)
        assert json.loads(body) == pytest.approx(logits(ONE), abs=1e-3), name
    bomb = photo.with_suffix(".bomb")
    bomb.write_bytes(gzip.compress(bytes(50 * 2**20), mtime=0))
    for arguments, code, words in (
        (["-F", "p=@photo.jpg,photo.jpg"], 400, "multipart/mixed"),
        (["--data-binary", "@photo.gz", "-H", "Content-Encoding: deflate"], 415, "deflate"),
        (["--data-binary", "@photo.bomb", "-H", "Content-Encoding: gzip"], 422, "unpacked"),
    ):
        status, body = curl(server, photo.parent, *arguments)
        assert (status, words in body) == (code, True), body


NODE = """
const fs = require("fs"), url = process.argv[1], bytes = fs.readFileSync(process.argv[2]);
const form = new FormData(), text = new FormData();
form.append("image", new Blob([bytes]), "a.jpg");
text.append("image", "data:image/jpeg;base64," + bytes.toString("base64"));
const bodies = [bytes, new Blob([bytes], {type: "image/jpeg"}), form, text,
  JSON.stringify({image: bytes.toString("base64url")})];
(async () => { for (const body of bodies) {
  const answer = await fetch(url, {method: "POST", body});
  console.log(JSON.stringify([answer.status, await answer.json()]));
} })();
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_node(server: Running, photo: Path, logits: Logits) -> None:
    address = f"http://127.0.0.1:{server.port}/invocations"
    done = subprocess.run(
        ["node", "-e", NODE, address, str(photo)], capture_output=True, text=True, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 5
    for status, answer in answers:
        assert status == 200, answer
        assert answer == pytest.approx(logits(ONE), abs=1e-3)


def test_requests(server: Running, photo: Path, logits: Logits) -> None:
    address = f"http://127.0.0.1:{server.port}/invocations"
    with photo.open("rb") as file:
        for how in (
            {"data": ONE},
            {"files": {"file": file}},
            {"data": iter([ONE[:100], ONE[100:]])},  # in chunks
            {"json": [base64.b64encode(ONE).decode()]},
        ):
            answer = requests.post(address, timeout=60, **how).json()
            row = answer[0] if isinstance(answer[0], list) else answer
            assert row == pytest.approx(logits(ONE), abs=1e-3)


# Each SDK serializes for itself; a line is: name, type, body, Accept.
SDK = """
import base64, io, json, sys
import numpy as np
path, array = sys.argv[1:]
data = open(path, "rb").read()
text = base64.b64encode(data).decode()
pixels = np.load(array)
import sagemaker_MODULE_serializers as s, sagemaker_MODULE_deserializers as d
rows = [
    (s.IdentitySerializer(), data, d.BytesDeserializer()),
    (s.DataSerializer(), path, d.JSONDeserializer()),
    (s.NumpySerializer(), pixels, d.NumpyDeserializer()),
    (s.NumpySerializer(), np.asfortranarray(pixels), d.NumpyDeserializer()),
    (s.JSONSerializer(), {"instances": [text]}, d.JSONDeserializer()),
    (s.JSONLinesSerializer(), [{"image": text}, {"image": text}], d.JSONLinesDeserializer()),
    (s.CSVSerializer(), [[1, 2], [3, 4]], d.CSVDeserializer()),
    (s.LibSVMSerializer(), "1 1:0.5", d.StringDeserializer()),
]
try:
    import scipy.sparse
    rows.append((s.SparseMatrixSerializer(), scipy.sparse.eye(3), d.JSONDeserializer()))
except ImportError:  # not in every environment
    pass
for one, value, back in rows:
    body = one.serialize(value)
    body = body.encode() if isinstance(body, str) else bytes(body)
    accept = ", ".join(back.ACCEPT)
    encoded = base64.b64encode(body).decode()
    print("ROW", json.dumps([type(one).__name__, one.CONTENT_TYPE, encoded, accept]))
"""


@pytest.mark.parametrize(
    ("lock", "serializers", "deserializers"),
    [
        ("sdk2.txt", "sagemaker.serializers", "sagemaker.deserializers"),
        ("sdk.txt", "sagemaker.core.serializers", "sagemaker.core.deserializers"),
    ],
)
def test_serializers_of_the_sdks(
    server: Running, tmp_path: Path, lock: str, serializers: str, deserializers: str
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(picture(3, "PNG"))
    np.save(tmp_path / "pixels.npy", PIXELS)
    script = SDK.replace("sagemaker_MODULE_serializers", serializers)
    script = script.replace("sagemaker_MODULE_deserializers", deserializers)
    done = subprocess.run(
        [interpreter(lock), "-W", "ignore", "-c", script, str(path), str(tmp_path / "pixels.npy")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("ROW ")]
    refused = {"CSVSerializer", "LibSVMSerializer", "SparseMatrixSerializer"}
    assert len(rows) >= 8
    for name, kind, body, accept in rows:
        answer = server.classify(base64.b64decode(body), kind, Accept=accept)
        assert answer.status == (415 if name in refused else 200), (name, answer.body)
        if name in refused:
            assert kind in answer.json()["message"]


def test_no_row_of_the_table_is_an_error_of_ours() -> None:
    assert all(row.answer.status < 500 for row in ROWS if isinstance(row.answer, Refused))

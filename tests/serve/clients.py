"""Requests as other people's clients send them: client, body, headers, answer.

Bodies of Python's clients come from the clients themselves; those of other languages are written
here byte for byte as the clients write them. test_clients.py asks a worker, test_real_clients.py a
whole server.
"""

import base64
import gzip
import io
import json
from dataclasses import dataclass
from typing import Any

import boto3  # type: ignore[import-untyped]
import numpy as np
import requests
from botocore.serialize import create_serializer  # type: ignore[import-untyped]
from PIL import Image

from tests.serve.conftest import picture
from tests.serve.worker import Request

VERBOSE = "application/json;verbose"
LINES = "application/jsonlines"
ONE, TWO = picture(1), picture(2)
GZIPPED = gzip.compress(ONE, mtime=0)
B64 = base64.b64encode(ONE).decode()
URL_SAFE = base64.urlsafe_b64encode(ONE).decode().rstrip("=")
DATA_URL = f"data:image/jpeg;base64,{B64}"
PIXELS = np.asarray(Image.open(io.BytesIO(picture(3, "PNG"))))
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
AXIOS = "application/json, text/plain, */*"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@dataclass(frozen=True)
class Refused:
    """An error: its status, and words of its message or hint."""

    status: int
    words: str


# What comes back: the raw outputs of one picture or of a list, the same in another format, or an
# error.
RAW, LIST, LABELS, NPY, NPY_LIST, LINE, TWO_LINES = range(7)


@dataclass(frozen=True)
class Row:
    client: str
    request: Request
    answer: int | Refused = RAW
    pictures: tuple[bytes, ...] = (ONE,)


def form(*parts: tuple[str, bytes], boundary: str = "x", end: str = "\r\n") -> bytes:
    """Return a form; each part is its header lines and its content."""
    written = [
        f"--{boundary}{end}{head}{end}{end}".encode("latin-1") + content + end.encode()
        for head, content in parts
    ]
    return b"".join(written) + f"--{boundary}--{end}".encode()


def file(name: str = "picture", filename: str = "photo.jpg", kind: str = "image/jpeg") -> str:
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
    return f"{disposition}\r\nContent-Type: {kind}"


def text(name: str) -> str:
    return f'Content-Disposition: form-data; name="{name}"'


def as_form(*parts: tuple[str, bytes], **more: Any) -> Request:
    header = "multipart/form-data; boundary=x"
    return Request(form(*parts), header, **more)


def as_json(value: object, kind: str = "application/json", **more: Any) -> Request:
    return Request(json.dumps(value).encode(), kind, **more)


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def by_requests(accept: str | None = None, **how: Any) -> Request:
    prepared = requests.Request("POST", "http://x/invocations", **how).prepare()
    kind = prepared.headers.get("Content-Type")
    assert isinstance(prepared.body, bytes)
    return Request(prepared.body, None if kind is None else str(kind), accept)


def by_boto3(**parameters: Any) -> Request:
    client = boto3.client(
        "sagemaker-runtime",
        "eu-west-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106
    )
    operation = client.meta.service_model.operation_model("InvokeEndpoint")
    written = create_serializer("rest-json").serialize_to_request(
        {"EndpointName": "dogs", **parameters}, operation
    )
    headers = written["headers"]
    return Request(
        written["body"],
        headers.get("Content-Type"),
        headers.get("Accept"),
        attributes=headers.get("X-Amzn-SageMaker-Custom-Attributes"),
    )


LARGE = picture(8, size=(900, 700))
LOST_LARGE = LARGE.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")

CURL = [
    Row("--data-binary @photo.jpg -H Content-Type", Request(ONE, "image/jpeg")),
    Row("--data-binary @photo.jpg", Request(ONE, "application/x-www-form-urlencoded")),
    Row(
        "-d @photo.jpg",
        Request(LOST_LARGE, "application/x-www-form-urlencoded"),
        Refused(400, "--data-binary"),
    ),
    Row("-d image=…", Request(b"image=abc", "application/x-www-form-urlencoded"),
        Refused(415, "urlencoded")),
    Row("--upload-file photo.jpg -X POST", Request(ONE, None)),
    Row("a JPEG called HEIC", Request(ONE, "image/heic")),
    Row("a HEIC called JPEG", Request(b"\0\0\0\x18ftypheic" + bytes(90), "image/jpeg"),
        Refused(415, "HEIC")),
    Row("a HEIC called HEIC", Request(b"\0\0\0\x18ftypheic" + bytes(90), "image/heic"),
        Refused(415, "HEIC")),
    Row("-F picture=@photo.jpg", as_form((file(), ONE))),
    Row("-F picture=@photo.jpg -F top_k=2",
        as_form((file(), ONE), (text("top_k"), b"2"), accept=VERBOSE), LABELS),
    Row("-F picture=<photo.jpg", as_form((text("picture"), ONE))),
    Row("-F picture=@photo.jpg;encoder=base64",
        as_form((file() + "\r\nContent-Transfer-Encoding: base64", base64.encodebytes(ONE)))),
    Row("-F picture=@photo.jpg;encoder=7bit",
        as_form((file() + "\r\nContent-Transfer-Encoding: 7bit", ONE))),
    Row("-F p=@a -F p=@b", as_form((file(), ONE), (file(), TWO)), LIST, (ONE, TWO)),
    Row("-F p=@a,b",
        as_form(('Content-Disposition: form-data; name="p"\r\n'
                 "Content-Type: multipart/mixed; boundary=y", form((file(), ONE), boundary="y"))),
        Refused(400, "multipart/mixed")),
    Row("-F … -H Content-Type: multipart/form-data", Request(form((file(), ONE)),
        "multipart/form-data"), Refused(400, "no boundary")),
    Row("-F … -H Content-Type: application/octet-stream", Request(form((file(), ONE)),
        "application/octet-stream"), Refused(415, "are a form")),
    Row("gzip and --data-binary", Request(GZIPPED, "image/jpeg", encoding="gzip")),
    Row("gzip without the header", Request(GZIPPED, "image/jpeg"), Refused(400, "gzip")),
    Row("deflate", Request(ONE, "image/jpeg", encoding="deflate"), Refused(415, "'deflate'")),
    Row("brotli", Request(ONE, "image/jpeg", encoding="br"), Refused(415, "'br'")),
    Row("--data {…}", as_json({"image": B64}, "application/x-www-form-urlencoded")),
    Row("--json {…}", as_json({"image": B64}, accept="application/json")),
    Row("base64 photo.jpg | curl", Request(base64.encodebytes(ONE), "image/jpeg"),
        Refused(400, "base64")),
    Row("an error page", Request(b"<!DOCTYPE html><html>", "image/jpeg"), Refused(400, "HTML")),
]  # fmt: skip

PYTHON = [
    Row("requests data=", by_requests(data=ONE)),
    Row("requests files=", by_requests(files={"file": ONE})),
    Row("requests files= with a name in Unicode",
        by_requests(files={"file": ("fötö.jpg", ONE, "image/jpeg")})),
    Row("requests files= of two and data=",
        by_requests(VERBOSE, files=[("f", ONE), ("f", TWO)], data={"top_k": 1}), LABELS,
        (ONE, TWO)),
    Row("requests json=", by_requests(json={"image": B64})),
    Row("requests json= of str(bytes)", by_requests(json={"image": str(B64.encode())}),
        Refused(400, "Python bytes object")),
    Row("requests json= of pixels", by_requests(json={"instances": PIXELS[:2, :2].tolist()}),
        Refused(415, "application/x-npy")),
    Row("requests json= of many pixels", by_requests(json=PIXELS.tolist()),
        Refused(415, "application/x-npy")),
    Row("requests json= of an address", by_requests(json={"image": "https://x/y.jpg"}),
        Refused(400, "fetches nothing")),
]  # fmt: skip

NET = "--7427efb8-6ce7-4740-9198-d90399842641"
NET_HEADER = 'multipart/form-data; boundary="7427efb8-6ce7-4740-9198-d90399842641"'


def net(head: str, content: bytes = ONE) -> Request:
    return Request(form((head, content), boundary=NET[2:]), NET_HEADER)


OTHERS = [
    Row(".NET MultipartFormDataContent", net(
        "Content-Disposition: form-data; name=file; filename=photo.jpg; "
        "filename*=utf-8''photo.jpg")),
    Row(".NET part with a type and no file name", net(
        "Content-Type: image/jpeg\r\nContent-Disposition: form-data; name=file")),
    Row(".NET ByteArrayContent", Request(ONE, None)),
    Row(".NET StringContent", as_json({"image": B64}, "application/json; charset=utf-8")),
    Row("Java OkHttp MultipartBody",
        as_form((file() + f"\r\nContent-Length: {len(ONE)}", ONE))),
    Row("Java Apache HttpClient", Request(
        form((file(kind="application/octet-stream")
              + "\r\nContent-Transfer-Encoding: binary", ONE), boundary="-x_Y'(9)"),
        "multipart/form-data; boundary=\"-x_Y'(9)\"; charset=ISO-8859-1")),
    Row("Java HttpURLConnection", Request(ONE, "image/jpeg", JAVA)),
    Row("Java Base64.getUrlEncoder", as_json({"image": URL_SAFE})),
    Row("Java Base64.getMimeEncoder",
        as_json({"image": base64.encodebytes(ONE).decode().replace("\n", "\r\n")})),
    Row("Go CreateFormFile", as_form((file(kind="application/octet-stream"), ONE))),
    Row("Go WriteField filename", as_form((file(), ONE), (text("filename"), b"photo.jpg"))),
    Row("Go http.Post", Request(ONE, "image/jpeg")),
    Row("Ruby, a path as file name", as_form((file(filename="C:\\\\dogs\\\\photo.jpg"), ONE))),
    Row("PHP, a name in Latin-1", as_form((file(filename="fötö.jpg"), ONE))),
    Row("PowerShell, single quotes", Request(form(
        ("Content-Disposition: form-data; name='file'; filename='photo.jpg'", ONE)),
        "multipart/form-data; boundary='x'")),
    Row("Perl, bare newlines", Request(form((text("p") + '; filename="a"', ONE), end="\n"),
        "multipart/form-data; boundary=x")),
    Row("a mail library, preamble and epilogue", Request(
        b"This is a message with multiple parts.\r\n\r\n" + form((file(), ONE)) + b"\r\nbye",
        "multipart/form-data; boundary=x")),
    Row("a mail library, quoted-printable", as_form(
        (file() + "\r\nContent-Transfer-Encoding: quoted-printable",
         b"".join(b"=%02X" % byte for byte in ONE)))),
    Row("a mail library, RFC 2231", as_form(
        ("Content-Disposition: form-data; name=p; filename*0=very; filename*1=long.jpg", ONE))),
    Row("a mail library, folded header", as_form(
        ('Content-Disposition: form-data; name="p";\r\n filename="a.jpg"', ONE))),
    Row("a mail library, uuencode", as_form(
        (file() + "\r\nContent-Transfer-Encoding: x-uuencode", b"begin")),
        Refused(400, "x-uuencode")),
]  # fmt: skip

BROWSER = [
    Row("FormData of a file input", as_form((file(), ONE), accept=CHROME)),
    Row("a form with an empty second file input", as_form(
        (file("a"), ONE), (file("b", "", "application/octet-stream"), b""))),
    Row("a form with a button and a token", as_form(
        (file(), ONE), (text("submit"), b"Send"), (text("csrf_token"), b"a1"),
        (text("_charset_"), b"UTF-8"))),
    Row("a form with an empty file", as_form((file(), ONE), (file(), b"")),
        Refused(400, "picture 2: the picture is empty")),
    Row("a form without any file", as_form((file("a", "", "application/octet-stream"), b"")),
        Refused(400, "no picture")),
    Row("a form with a misspelt option", as_form((file(), ONE), (text("topk"), b"2")),
        Refused(400, "'topk'")),
    Row("FormData.append(blob)", as_form((file("image", "blob", "image/png"), picture(1, "PNG"))),
        RAW, (picture(1, "PNG"),)),
    Row("FormData.append(canvas.toDataURL())", as_form((text("image"), DATA_URL.encode()))),
    Row("fetch(…, {body: JSON.stringify})",
        as_json({"image": DATA_URL}, "text/plain;charset=UTF-8")),
    Row("fetch(…, {body: blob})", Request(picture(1, "WEBP"), "image/webp", "*/*"), RAW,
        (picture(1, "WEBP"),)),
    Row("FileReader.readAsDataURL", as_json({"inputs": DATA_URL.replace("=", "%3D")})),
    Row("axios.postForm", as_form((file(), ONE), accept=AXIOS)),
    Row("axios.post of an array", as_json([DATA_URL], accept=AXIOS), LIST),
    Row("axios.post of text", Request(b"hello", "text/plain"), Refused(415, "text/plain")),
    Row("undici FormData", Request(
        form((file(kind="application/octet-stream"), ONE), boundary="----formdata-undici-01"),
        "multipart/form-data; boundary=----formdata-undici-01")),
    Row("Postman binary", Request(ONE, "text/plain")),
    Row("Postman form-data with text", as_form(
        (file(), ONE), (text("name"), b"rex"), (text("filename"), b"a.jpg"))),
    Row("Postman raw", as_json({"image": B64}, "text/plain")),
]  # fmt: skip

AWS = [
    Row("boto3", by_boto3(Body=ONE)),
    Row("boto3 ContentType Accept", by_boto3(Body=ONE, ContentType="image/jpeg", Accept=VERBOSE),
        LABELS),
    Row("boto3 CustomAttributes", by_boto3(
        Body=ONE, ContentType="image/jpeg", Accept=VERBOSE, CustomAttributes="top_k=2"), LABELS),
    Row("S3's default type", Request(ONE, "binary/octet-stream")),
    Row("SDK 2 DataSerializer", Request(ONE, "file-path/raw-bytes", "*/*")),
    Row("SDK 2 IdentitySerializer", Request(ONE, "application/octet-stream", "*/*")),
    Row("SDK 2 IdentitySerializer of an array", Request(npy(PIXELS), "application/octet-stream"),
        RAW, (picture(3, "PNG"),)),
    Row("SDK 2 NumpySerializer, NumpyDeserializer", Request(
        npy(PIXELS), "application/x-npy", "application/x-npy"), NPY, (picture(3, "PNG"),)),
    Row("SDK 2 NumpySerializer of several", Request(
        npy(np.stack([PIXELS, PIXELS])), "application/x-npy", "application/x-npy"), NPY_LIST,
        (picture(3, "PNG"),) * 2),
    Row("SDK 2 NumpySerializer, Fortran", Request(
        npy(np.asfortranarray(PIXELS)), "application/x-npy"), RAW, (picture(3, "PNG"),)),
    Row("SDK 2 NumpySerializer of a list", Request(npy(PIXELS.astype(int)), "application/x-npy"),
        Refused(415, "int64")),
    Row("SDK 2 NumpySerializer of a tensor", Request(
        npy(np.zeros((1, 3, 64, 64), np.uint8)), "application/x-npy"),
        Refused(415, "channels first")),
    Row("SDK 2 NumpySerializer of floats", Request(
        npy(PIXELS.astype(">f4")), "application/x-npy"), Refused(415, ">f4")),
    Row("SDK 2 NumpySerializer of half floats", Request(
        npy(PIXELS.astype("f2")), "application/x-npy"), Refused(415, "float16")),
    Row("SDK 2 JSONSerializer", as_json({"inputs": B64}, accept="application/json")),
    Row("SDK 2 JSONLinesSerializer", Request(
        f'{json.dumps(B64)}\n{{"image": "{DATA_URL}"}}'.encode(), LINES, LINES), TWO_LINES,
        (ONE, ONE)),
    Row("SDK 2 CSVSerializer", Request(b"1,2,3", "text/csv"), Refused(415, "text/csv")),
    Row("SDK 2 LibSVMSerializer", Request(b"1 1:0.5", "text/libsvm"), Refused(415, "text/libsvm")),
    Row("SDK 2 SparseMatrixSerializer", Request(b"PK\3\4", "application/x-npz"),
        Refused(415, "sparse matrices")),
    Row("SDK 2 TorchTensorSerializer", Request(b"PK\3\4", "tensor/pt"), Refused(415, "unpickled")),
    Row("SDK 2 PandasDeserializer", Request(ONE, "image/jpeg", "text/csv, application/json")),
    Row("SDK 2 StringSerializer", Request(B64.encode(), "text/plain"), Refused(415, "base64")),
    Row("SDK 3 Endpoint.invoke", by_boto3(Body=ONE, ContentType="image/jpeg", Accept="*/*")),
    Row("SDK 3 JSONSerializer", by_boto3(
        Body=json.dumps({"image": B64}), ContentType="application/json",
        Accept="application/json")),
    Row("aws CLI --body fileb://photo.jpg", by_boto3(Body=ONE)),
    Row("batch transform, SplitType None", Request(ONE, "application/x-image")),
    Row("batch transform, Line and MultiRecord", Request(
        f'{{"image": "{B64}"}}\n{{"image": "{B64}"}}\n'.encode(), LINES, LINES), TWO_LINES,
        (ONE, ONE)),
    Row("batch transform, Line and SingleRecord", Request(
        f'{{"image": "{B64}"}}\n'.encode(), f"{LINES}; charset=utf-8"), LINE),
    Row("batch transform, manifest.json", Request(b'{"sha256": {}}', "application/x-image"),
        Refused(400, "JSON")),
]  # fmt: skip

SERVERS = [
    Row("TensorFlow Serving", as_json({"instances": [{"b64": B64}]}), LIST),
    Row("TensorFlow Serving signature_name", as_json(
        {"signature_name": "serving_default", "instances": [{"image_bytes": {"b64": B64}}]}), LIST),
    Row("TensorFlow Serving, by column", as_json({"inputs": {"b64": B64}})),
    Row("TensorFlow Serving, a column", as_json({"inputs": {"image_bytes": [{"b64": B64}]}}), LIST),
    Row("TensorFlow Serving, another signature", as_json(
        {"signature_name": "embed", "instances": [B64]}), Refused(400, "'embed'")),
    Row("TensorFlow Serving, a key to return", as_json(
        {"instances": [{"b64": B64, "key": "7"}]}), Refused(400, "'key'")),
    Row("KServe v1", as_json({"instances": [{"data": B64}], "parameters": {}}), LIST),
    Row("KServe v2", as_json({"inputs": [
        {"name": "x", "shape": [1], "datatype": "BYTES", "data": [B64]}]}), Refused(400, "KServe")),
    Row("TorchServe", as_json({"body": B64})),
    Row("Hugging Face", as_json({
        "inputs": B64, "parameters": {"top_k": 2}, "options": {"wait_for_model": True}},
        accept=VERBOSE), LABELS),
    Row("Hugging Face, another option", as_json({"inputs": B64, "options": {"dtype": "x"}}),
        Refused(400, "options")),
    Row("Hugging Face, bytes", Request(ONE, "image/jpeg", "application/json")),
    Row("Vertex AI", as_json({
        "instances": [{"content": B64, "mimeType": "image/jpeg"}],
        "parameters": {"confidenceThreshold": 0.0, "maxPredictions": 2}}, accept=VERBOSE), LABELS),
    Row("MLflow", as_json({"dataframe_split": {}}), Refused(400, "'dataframe_split'")),
]  # fmt: skip

ROWS = [*CURL, *PYTHON, *OTHERS, *BROWSER, *AWS, *SERVERS]

"""Requests of clients that write their bodies by hand, and of other servers' clients.

As in clients.py: client, body, headers, answer. The bodies have the faults and the freedoms that
public code has.
"""

import json
from urllib.parse import quote

from tests.serve.clients import (
    B64,
    DATA_URL,
    LABELS,
    LIST,
    ONE,
    RAW,
    VERBOSE,
    Refused,
    Row,
    as_form,
    as_json,
    file,
    form,
    text,
)
from tests.serve.conftest import picture
from tests.serve.worker import Request

FORM = "multipart/form-data; boundary=x"
PART = 'Content-Disposition: form-data; name="image"; filename="a.jpg"'
WRAPPED = "\n".join(B64[at : at + 76] for at in range(0, len(B64), 76))  # as `base64` writes it
PNG, GIF = picture(1, "PNG"), picture(1, "GIF", (61, 50))
TRITON = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}
TENSOR = {"name": "x", "shape": [1, 3, 64, 64], "datatype": "FP32", "data": [0.5] * 12288}
NUMBERS = Refused(415, "lists of numbers")
AS_TEXT = Refused(400, "as if they were text")

FORMS = [
    Row("Swift, an empty line before and after",
        Request(b"\r\n" + form((file(), ONE + b"\r\n")), FORM)),
    Row("Swift, no blank after the semicolon",
        as_form((PART.replace("; ", ";") + "\r\nContent-Type: image/jpeg", ONE))),
    Row("Dart, lower-case headers, type first",
        as_form(("content-type: application/octet-stream\r\n" + PART.lower(), ONE))),
    Row("Unity WWWForm", Request(
        b"\r\n" + form((f"Content-Type: image/png\r\n{PART}", ONE), boundary="q"),
        'multipart/form-data; boundary="q"')),
    Row("ESP32-CAM, no line end after the last boundary", Request(form((file(), ONE))[:-2], FORM)),
    Row("a boundary with a capital, after charset",
        Request(form((file(), ONE)), "Multipart/Form-Data;charset=utf-8;Boundary=x")),
    Row("a type given twice", Request(form((file(), ONE)), f"{FORM}, {FORM}")),
    Row("PHP curl_file_create, no suffix", as_form((file("datafile", "x", "image/jpg"), ONE))),
    Row("PHP, fields of its own", as_form((file(), ONE), (text("productId"), b"1")),
        Refused(400, "'productId'")),
    Row("Python, parameters as JSON", as_form(
        (text("parameters") + "\r\nContent-Type: application/json", b'{"top_k": 2}'),
        (file(), ONE), accept=VERBOSE), LABELS),
    Row("a text field with base64", as_form((text("image"), B64.encode()))),
    Row("the dashes of the lines in the header's boundary",
        Request(form((file(), ONE)), "multipart/form-data; boundary=--x"),
        Refused(400, "boundary=x")),
    Row("another boundary in the header",
        Request(form((file(), ONE)), "multipart/form-data; boundary=y"), Refused(400, "'--x'")),
    Row("no last boundary", Request(form((file(), ONE))[:-7], FORM), Refused(400, "cut short")),
    Row("<form method=post> without an enctype",
        Request(b"picture=photo.jpg&send=1", "application/x-www-form-urlencoded"),
        Refused(415, "enctype")),
    Row("curl --data-binary of a GIF that begins with GIF87a=",
        Request(GIF, "application/x-www-form-urlencoded"), RAW, (GIF,)),
    Row("curl --data-urlencode", Request(b"image=" + quote(B64).encode(),
        "application/x-www-form-urlencoded"), Refused(415, "curl -F")),
    Row("Roboflow's snippets", Request(WRAPPED.encode(), "application/x-www-form-urlencoded"),
        Refused(415, "in base64")),
]  # fmt: skip

TEXTS = [
    Row('a shell\'s "$(base64 photo.jpg)"',
        Request(f'{{"image": "{WRAPPED}"}}'.encode(), "application/json")),
    Row("a shell, in instances", Request(
        f'{{"instances": [{{"data": {{"image": "{WRAPPED}"}}}}]}}'.encode(), "application/json"),
        LIST),
    Row("a data URL whose + a form made blanks", as_json({"image": DATA_URL.replace("+", " ")}),
        Refused(400, "%2B")),
    Row("lines of base64 that became one", as_json({"image": WRAPPED.replace("\n", " ")})),
    Row("JSON.stringify of a Node Buffer",
        as_json({"image": {"type": "Buffer", "data": list(ONE)}}), NUMBERS),
    Row("JSON.stringify of a Uint8Array",
        as_json({"image": {str(at): byte for at, byte in enumerate(ONE)}}), NUMBERS),
    Row("Gson of byte[]", as_json({"image": [byte - 256 if byte > 127 else byte for byte in ONE]}),
        NUMBERS),
    Row("a JPEG decoded as UTF-8", Request(ONE.decode("utf-8", "replace").encode(), "image/jpeg"),
        AS_TEXT),
    Row("a JPEG decoded as ASCII",
        Request(ONE.decode("ascii", "replace").encode("ascii", "replace"), "image/jpeg"), AS_TEXT),
    Row("a JPEG written as UTF-8", Request(ONE.decode("latin-1").encode(), "image/jpeg"), AS_TEXT),
    Row("a PNG decoded as UTF-8", Request(PNG.decode("utf-8", "replace").encode(), None), AS_TEXT),
    Row("a PNG with a Unix's line ends", Request(PNG.replace(b"\r\n", b"\n"), None), AS_TEXT),
]  # fmt: skip

OBJECTS = [
    Row("Vertex AI's custom training", as_json({"instances": [{"bytes_inputs": {"b64": B64}}]}),
        LIST),
    Row("Keras on TensorFlow Serving",
        as_json({"instances": [{"input_1": {"b64": B64}}, {"input_1": {"b64": B64}}]}), LIST,
        (ONE, ONE)),
    Row("Keras on TensorFlow Serving, a column", as_json({"inputs": {"input_1": [{"b64": B64}]}}),
        LIST),
    Row("two inputs of TensorFlow Serving",
        as_json({"instances": [{"a": {"b64": B64}, "b": {"b64": B64}}]}), Refused(400, "'a', 'b'")),
    Row("Vertex AI's embeddings", as_json({"instances": [{"image": {"bytesBase64Encoded": B64}}]}),
        Refused(400, "'bytesBase64Encoded'")),
    Row("Azure's AutoML", as_json({"input_data": {"columns": ["image"], "data": [B64]}}),
        Refused(400, "'input_data'")),
    Row("Google Vision", as_json({"requests": [{"image": {"content": B64}}]}),
        Refused(400, "'requests'")),
    Row("Rekognition", as_json({"Image": {"Bytes": B64}}), Refused(400, "'Image'")),
    Row("MLflow, inputs by column", as_json({"inputs": {"image": [B64]}}), LIST),
    Row("Gradio", as_json({"data": [DATA_URL]}), LIST),
    Row("a request to wake the endpoint", as_json({"ping": "pong"}), Refused(400, "'ping'")),
    Row("KServe v2, a tensor", as_json({"inputs": [TENSOR]}), Refused(400, "KServe")),
    Row("Triton, binary", Request(json.dumps({"inputs": [TRITON]}).encode() + b"\5\0\0\0" + ONE,
        "application/octet-stream"), Refused(400, "KServe")),
    Row("a data URL without a type", as_json({"image": f"data:;base64,{B64}"})),
    Row("a data URL with a charset",
        as_json({"image": f"data:image/png;charset=utf-8;base64,{B64}"})),
    Row("a type that is only a suffix", Request(ONE, "JPEG")),
    Row("Spring's Accept", Request(ONE, "image/jpeg", "application/json, application/*+json"), RAW),
]  # fmt: skip

HAND_MADE = [*FORMS, *TEXTS, *OBJECTS]

"""Nothing is guessed and nothing dropped: what has two meanings or none is refused by its name."""

import base64
import contextlib
import json
import tracemalloc
from urllib.parse import quote

import pytest

from serve.errors import RequestError
from serve.formats import contents
from serve.formats.base64_text import decoded
from serve.formats.envelopes import Content
from serve.formats.options import Options, read_options
from serve.front.headers import UNREADABLE
from tests.serve.conftest import picture

ONE, TWO = picture(1), picture(2)
B64, OTHER = (base64.b64encode(one).decode() for one in (ONE, TWO))
LINES = "application/jsonlines"


def read(content_type: str, body: str | bytes) -> Content:
    body = body if isinstance(body, bytes) else body.encode()
    return contents.read(content_type, body, max_pictures=3)


def field(name: str, value: str) -> str:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", f'{{"image": "{B64}", "image": "{OTHER}"}}'),
        ("application/json", f'{{"image": "{B64}", "parameters": {{"top_k": 1, "top_k": 2}}}}'),
        ("application/json", f'[{{"b64": "{B64}", "b64": "{OTHER}"}}]'),
        (
            "multipart/form-data; boundary=x",
            field("image", B64) + field("top_k", "1") + field("top_k", "2") + "--x--",
        ),
        (
            "multipart/form-data; boundary=x",
            field("image", B64)
            + field("top_k", "1")
            + field("parameters", '{"top_k": 2}')
            + "--x--",
        ),
    ],
)
def test_what_is_given_twice_is_refused(content_type: str, body: str) -> None:
    with pytest.raises(RequestError, match="is given twice") as refusal:
        read(content_type, body)
    assert refusal.value.code == 400


@pytest.mark.parametrize(
    "given",
    [
        {"query": "top_k=1&top_k=2"},
        {"attributes": "top_k=1;top_k=2"},
        {"parameters": {"top_k": 1, "maxPredictions": 2}},
    ],
)
def test_a_parameter_given_twice_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="'top_k' is given twice"):
        read_options(**given)  # type: ignore[arg-type]


def test_a_truth_value_is_no_number() -> None:
    for name in ("top_k", "threshold"):
        with pytest.raises(RequestError, match=name):
            read_options(parameters={name: True})


def test_attributes_can_have_blanks_around_the_equals_sign() -> None:
    assert read_options(attributes="trace = a; top_k = 2") == Options(top_k=2)


@pytest.mark.parametrize("source", ["query", "attributes"])
def test_parameters_that_cannot_be_read_are_not_passed_over(source: str) -> None:
    with pytest.raises(RequestError, match="cannot be read") as refusal:
        read_options(**{source: UNREADABLE})  # type: ignore[arg-type]
    assert "characters" in refusal.value.hint


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_lines_in_another_encoding_keep_their_number_and_order(encoding: str) -> None:
    """As PowerShell writes them. In UTF-16 other characters have the byte of a line end too."""
    body = f'{{"image": "{B64}", "filename": "Ċ"}}\r\n\r\n{{"image": "{OTHER}"}}\r\n'
    content = read(LINES, body.encode(encoding))
    assert content.pictures == (ONE, TWO)
    assert not content.line_errors
    with pytest.raises(RequestError, match="not text"):
        read(LINES, body.encode("utf-16-le")[:-1])


def test_every_bad_line_has_its_number() -> None:
    good = json.dumps(B64)
    bad = [
        '{"image": "a", "image": "b"}',
        '{"source-ref": "s3://b/k"}',
        "[1, 2]",
        '["a", "b"]',
        "{",
    ]
    for line in bad:
        content = read(LINES, f"{good}\n{line}\n{good}")
        assert content.pictures == (ONE, ONE), line
        assert content.line_errors[1].message.startswith("line 2"), line


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (list(ONE[:9]), "lists of numbers"),
        ({"image": list(ONE[:9])}, "lists of numbers"),
        (json.dumps({"image": B64}), "JSON in a string"),
        (str([B64]), "JSON in a string"),
        ([{"image": B64, "data": OTHER}], "'data', 'image'"),
    ],
)
def test_json_that_is_no_picture_is_named(value: object, words: str) -> None:
    with pytest.raises(RequestError, match=words) as refusal:
        read("application/json", json.dumps(value))
    assert refusal.value.code in (400, 415)
    assert refusal.value.hint


def test_a_field_is_not_cut_short() -> None:
    """Its first 1,000 bytes would be another value."""
    for name, value in (("top_k", f"2{' ' * 999}5"), ("parameters", f'{{"top_k": 2{" " * 999}5}}')):
        with pytest.raises(RequestError, match=f"{name}, has over 1000 bytes"):
            read(
                "multipart/form-data; boundary=x",
                field("image", B64) + field(name, value) + "--x--",
            )


@pytest.mark.parametrize("label", ["mimeType", "contentType", "filename", "format"])
def test_a_label_next_to_a_picture_says_nothing(label: str) -> None:
    """Wherever it is: in a list of pictures, or in the object itself."""
    for value in ({"image": B64, label: "image/png"}, [{"b64": B64, label: "image/png"}]):
        assert read("application/json", json.dumps(value)).pictures == (ONE,)


@pytest.mark.parametrize("escape", ["%2B", "%2f", "%41", "%zz", "%"])
def test_escapes_in_a_data_url_take_no_more_memory_than_their_text(escape: str) -> None:
    text = "data:image/png;base64," + escape * (600_000 // len(escape))
    tracemalloc.start()
    try:
        with contextlib.suppress(RequestError):
            decoded(text, "picture 1")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(text)


def test_the_escapes_that_clients_make_of_base64_are_undone() -> None:
    data = bytes(range(256))
    for text in (base64.b64encode(data).decode(), base64.encodebytes(data).decode()):
        upper = quote(text, safe="")
        lower = upper.replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d")
        for escaped in (upper, lower):
            assert decoded(f"data:image/png;base64,{escaped}", "picture 1") == data


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_headers_of_a_part_are_bounded_whatever_its_line_ends(end: str) -> None:
    """The email parser, which reads bare newlines, takes minutes for a header of 6 MB."""
    head = f'--x{end}Content-Disposition: form-data; name="p"; filename="{{}}"{end}{end}'
    body = f"a{end}--x--{end}"
    form = "multipart/form-data; boundary=x"
    assert len(read(form, head.format("a") + body).pictures) == 1
    for first in ("", head.format("a") + f"a{end}"):
        with pytest.raises(RequestError, match=r"headers|over a limit") as refusal:
            read(form, first + head.format("a;" * 5_000) + body)
        assert refusal.value.code == 422


def test_the_parameters_of_a_part_are_bounded() -> None:
    """Python's parser takes 0.8 s for 130 parts with 4,000 semicolons each."""
    form = "multipart/form-data; boundary=x"
    body = '--x\r\nContent-Disposition: form-data; name="p"; filename="{}"\r\n\r\na\r\n--x--\r\n'
    assert len(read(form, body.format("a;b;c.jpg" + ";" * 20)).pictures) == 1
    with pytest.raises(RequestError, match="too many parameters") as refusal:
        read(form, body.format(";" * 3_900))
    assert refusal.value.code == 422


@pytest.mark.parametrize("text", ["AB CD E", "ABC D", " AB CD ", "A B C"])
def test_blanks_at_the_ends_of_lines_of_one_width_are_no_lost_plus(text: str) -> None:
    with contextlib.suppress(RequestError):  # not all of them are whole bytes
        decoded(text, "x")
    with pytest.raises(RequestError, match="blanks where base64 has"):
        decoded(f"A {text}BCD E", "x")

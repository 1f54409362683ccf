"""Presigned addresses do what they were signed for, by both versions of the signature."""

import hashlib
import http.client
import socket
from collections.abc import Iterator

import pytest

from tests.emulator.client import Emulator, presign
from tests.emulator.objects import BUCKET, body, with_objects

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with with_objects(tmp_path_factory) as emulator:
        yield emulator


def send(
    emulator: Emulator, method: str, url: str, content: bytes = b"", **headers: str
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, url.removeprefix(emulator.url), content, named)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


SETTINGS = {
    "ContentType": "image/png",
    "Metadata": {"a": "b c"},
    "Tagging": "t=1",
    "StorageClass": "STANDARD_IA",
}
HEADERS = {
    "Content_Type": "image/png",
    "x_amz_meta_a": "b c",
    "x_amz_tagging": "t=1",
    "x_amz_storage_class": "STANDARD_IA",
}


@pytest.mark.parametrize(("version", "headers"), [("s3", {}), ("s3", HEADERS), ("s3v4", HEADERS)])
def test_an_upload_has_the_settings_of_its_address(
    emulator: Emulator, version: str, headers: dict[str, str]
) -> None:
    key = f"sent {version} {len(headers)}"
    url = presign(emulator, version, "put_object", Bucket=BUCKET, Key=key, **SETTINGS)
    assert send(emulator, "PUT", url, b"picture", **headers) == (200, "")
    found = emulator.s3.head_object(Bucket=BUCKET, Key=key)
    for name in ("ContentType", "Metadata", "StorageClass"):
        assert found[name] == SETTINGS[name]
    assert "Expires" not in found  # that of the address is not the object's
    tags = emulator.s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
    assert tags == [{"Key": "t", "Value": "1"}]
    assert body(emulator, key) == b"picture"


def test_a_copy_and_a_part_by_address(emulator: Emulator) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="from", Body=b"original")
    source = {"Bucket": BUCKET, "Key": "from"}
    url = presign(emulator, "s3", "copy_object", Bucket=BUCKET, Key="copy", CopySource=source)
    assert send(emulator, "PUT", url)[0] == 200
    assert body(emulator, "copy") == b"original"
    url = presign(
        emulator, "s3", "create_multipart_upload", Bucket=BUCKET, Key="parts", Metadata={"a": "b"}
    )
    status, text = send(emulator, "POST", url)
    assert status == 200
    where = {"Key": "parts", "UploadId": text.partition("<UploadId>")[2].partition("<")[0]}
    url = presign(emulator, "s3", "upload_part", Bucket=BUCKET, **where, PartNumber=1)
    assert send(emulator, "PUT", url, b"part")[0] == 200
    tag = hashlib.md5(b"part", usedforsecurity=False).hexdigest()
    emulator.s3.complete_multipart_upload(
        Bucket=BUCKET, **where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]}
    )
    found = emulator.s3.head_object(Bucket=BUCKET, Key="parts")
    assert (found["Metadata"], found.get("Expires")) == ({"a": "b"}, None)
    assert body(emulator, "parts") == b"part"


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_the_address_signs_must_be_sent(emulator: Emulator, name: str) -> None:
    url = presign(emulator, "s3v4", "put_object", Bucket=BUCKET, Key="unsent", **SETTINGS)
    others = {other: value for other, value in HEADERS.items() if other != name}
    status, text = send(emulator, "PUT", url, b"x", **others)
    assert (status, "SignatureDoesNotMatch" in text) == (403, True)
    assert name.lower().replace("_", "-") in text


def test_an_address_puts_no_line_into_headers(emulator: Emulator) -> None:
    url = presign(emulator, "s3", "put_object", Bucket=BUCKET, Key="lines")
    status, text = send(emulator, "PUT", f"{url}&x-amz-meta-a=b%0D%0ASet-Cookie:%20c", b"x")
    assert (status, "InvalidArgument" in text) == (400, True)


def test_a_body_without_its_length_is_refused(emulator: Emulator) -> None:
    """As S3 does with clients that send what they read from a stream."""
    url = presign(emulator, "s3", "put_object", Bucket=BUCKET, Key="streamed").removeprefix(
        emulator.url
    )
    host, port = emulator.url.removeprefix("http://").split(":")
    head = f"PUT {url} HTTP/1.1\r\nHost: {host}:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        # The server can have answered, and closed, before a client has sent all.
        answer = http.client.HTTPResponse(client)
        answer.begin()
        text = answer.read()
        answer.close()
    assert (answer.status, b"Transfer-Encoding" in text) == (501, True)
    assert "Contents" not in emulator.s3.list_objects_v2(Bucket=BUCKET, Prefix="streamed")

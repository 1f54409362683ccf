"""S3 answers as AWS does: ranges, conditions, pages, checksums, deletions."""

import base64
import hashlib
import http.client
import os
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import boto3.s3.transfer  # type: ignore[import-untyped, unused-ignore]
import pytest

from tests.emulator.client import Emulator, files_below, refused, signed
from tests.emulator.objects import BUCKET, body, with_objects
from tests.emulator.test_doors import send

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with with_objects(tmp_path_factory) as emulator:
        yield emulator


def peak_mib(emulator: Emulator) -> float:
    assert emulator.process
    status = Path(f"/proc/{emulator.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


RANGES: list[tuple[str, int, bytes, str]] = [
    ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
    ("bytes=3-5", 206, b"345", "bytes 3-5/10"),
    ("bytes=7-", 206, b"789", "bytes 7-9/10"),
    ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=0-9", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=5-3", 200, b"0123456789", ""),
    ("bytes=0-1,3-4", 200, b"0123456789", ""),
    ("bytes=a-b", 200, b"0123456789", ""),
    ("lines=1-2", 200, b"0123456789", ""),
    ("bytes=-", 200, b"0123456789", ""),
    ("bytes=10-", 416, b"InvalidRange", ""),
    ("bytes=99-100", 416, b"InvalidRange", ""),
    ("bytes=-0", 416, b"InvalidRange", ""),
]


@pytest.mark.parametrize(("wanted", "status", "content", "place"), RANGES)
def test_a_range(emulator: Emulator, wanted: str, status: int, content: bytes, place: str) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="ten", Body=b"0123456789")
    headers = signed("s3") | {"Range": wanted}
    for method in ("GET", "HEAD"):
        answered = send(emulator, method, f"/{BUCKET}/ten", headers)
        assert answered[0] == status
        assert answered[1].get("content-range", "") == place
        if status < 400:
            assert answered[1]["content-length"] == str(len(content))
        assert content.decode() in answered[2] if method == "GET" else answered[2] == ""


def test_conditions(emulator: Emulator) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="x", Body=b"one")
    tag = hashlib.md5(b"one", usedforsecurity=False).hexdigest()
    date = emulator.s3.head_object(Bucket=BUCKET, Key="x")["LastModified"]
    later = "Fri, 01 Jan 2100 00:00:00 GMT"
    earlier = "Mon, 01 Jan 2001 00:00:00 GMT"
    exact = date.strftime("%a, %d %b %Y %H:%M:%S GMT")
    for headers, status in [
        ({"If-Match": f'"{tag}"'}, 200),
        ({"If-Match": tag}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-None-Match": f'"{tag}"'}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": exact}, 304),
        ({"If-Modified-Since": earlier}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Unmodified-Since": earlier}, 412),
        ({"If-Unmodified-Since": later}, 200),
        ({"If-Match": tag, "If-Unmodified-Since": earlier}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": later}, 200),
    ]:
        for method in ("GET", "HEAD"):
            answered = send(emulator, method, f"/{BUCKET}/x", signed("s3") | headers)
            assert answered[0] == status, headers
            assert method == "GET" or answered[2] == ""
    code, _ = refused(emulator.s3.put_object, Bucket=BUCKET, Key="x", Body=b"", IfNoneMatch="*")
    assert code == "PreconditionFailed"
    code, _ = refused(emulator.s3.put_object, Bucket=BUCKET, Key="x", Body=b"", IfMatch='"no"')
    assert code == "PreconditionFailed"
    emulator.s3.put_object(Bucket=BUCKET, Key="x", Body=b"two", IfMatch=f'"{tag}"')
    assert body(emulator, "x") == b"two"
    emulator.s3.put_object(Bucket=BUCKET, Key="new", Body=b"", IfNoneMatch="*")
    assert body(emulator, "new") == b""


@pytest.mark.parametrize("versions", [False, True])
def test_a_form_is_an_object(emulator: Emulator, versions: bool) -> None:
    bucket = f"forms-{versions}".lower()
    emulator.s3.create_bucket(Bucket=bucket)
    if versions:
        emulator.s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
        )
    kind = "application/x-www-form-urlencoded"
    headers = signed("s3") | {"Content-Type": kind}
    assert send(emulator, "PUT", f"/{bucket}/form", headers, "a=1&b=2")[0] == 200
    status, answered, text = send(emulator, "GET", f"/{bucket}/form", signed("s3"))
    assert (status, text, answered["content-type"]) == (200, "a=1&b=2", kind)


def test_old_versions_can_be_read(emulator: Emulator) -> None:
    emulator.s3.create_bucket(Bucket="versions")
    emulator.s3.put_bucket_versioning(
        Bucket="versions", VersioningConfiguration={"Status": "Enabled"}
    )
    ids = [
        emulator.s3.put_object(Bucket="versions", Key="x", Body=text)["VersionId"]
        for text in (b"one", b"two")
    ]
    emulator.s3.delete_object(Bucket="versions", Key="x")
    assert emulator.s3.list_objects_v2(Bucket="versions")["KeyCount"] == 0
    for version, text in zip(ids, (b"one", b"two"), strict=True):
        found = emulator.s3.get_object(Bucket="versions", Key="x", VersionId=version)
        with found["Body"] as stream:
            assert stream.read() == text


def test_metadata_and_overrides(emulator: Emulator) -> None:
    emulator.s3.put_object(
        Bucket=BUCKET,
        Key="described",
        Body=b"x",
        ContentType="image/x",
        CacheControl="no-store",
        ContentDisposition="inline",
        ContentEncoding="br",
        Metadata={"split": "train"},
        StorageClass="STANDARD_IA",
    )
    for call in (emulator.s3.head_object, emulator.s3.get_object):
        found = call(Bucket=BUCKET, Key="described")
        assert found["ContentType"] == "image/x"
        assert found["CacheControl"] == "no-store"
        assert found["ContentEncoding"] == "br"
        assert found["Metadata"] == {"split": "train"}
        assert found["StorageClass"] == "STANDARD_IA"
    found = emulator.s3.get_object(
        Bucket=BUCKET, Key="described", ResponseContentType="text/plain", Range="bytes=0-0"
    )
    assert found["ContentType"] == "text/plain"
    assert found["ContentDisposition"] == "inline"
    query = "response-content-disposition=a%0D%0ASet-Cookie:%20x"
    status, answered, _ = send(emulator, "GET", f"/{BUCKET}/described?{query}", signed("s3"))
    assert status >= 400
    assert "set-cookie" not in answered


def chunked(content: bytes, *, signature: bool, checksum: str = "") -> bytes:
    after = b";chunk-signature=" + b"0" * 64 if signature else b""
    parts = [
        f"{len(piece):x}".encode() + after + b"\r\n" + piece + b"\r\n"
        for piece in (content[:7], content[7:])
    ]
    trailer = f"x-amz-checksum-crc32:{checksum}\r\n".encode() if checksum else b""
    return b"".join(parts) + b"0" + after + b"\r\n" + trailer + b"\r\n"


def raw(emulator: Emulator, key: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"))
    connection.request("PUT", f"/{BUCKET}/{key}", content, signed("s3") | headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_bodies_in_chunks_of_aws(emulator: Emulator) -> None:
    content = os.urandom(300_000)
    crc = base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()
    trailing = {"x-amz-trailer": "x-amz-checksum-crc32", "Content-Encoding": "aws-chunked"}
    unsigned = trailing | {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    signing = {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
    assert raw(emulator, "c1", chunked(content, signature=False, checksum=crc), unsigned)[0] == 200
    assert raw(emulator, "c2", chunked(content, signature=True), signing)[0] == 200
    assert body(emulator, "c1") == body(emulator, "c2") == content
    found = emulator.s3.head_object(Bucket=BUCKET, Key="c1", ChecksumMode="ENABLED")
    assert found["ChecksumCRC32"] == crc
    assert "ContentEncoding" not in found
    wrong = chunked(content, signature=False, checksum="AAAAAA==")
    assert b"BadDigest" in raw(emulator, "bad", wrong, unsigned)[1]
    for damaged in (b"", b"zz\r\n", b"7\r\nabc", b"3\r\nabcd\r\n0\r\n\r\n", b"f" * 20 + b"\r\n"):
        assert b"IncompleteBody" in raw(emulator, "bad", damaged, unsigned)[1], damaged
    assert refused(emulator.s3.get_object, Bucket=BUCKET, Key="bad")[0] == "NoSuchKey"


def test_a_damaged_body_is_refused(emulator: Emulator) -> None:
    other = base64.b64encode(hashlib.sha256(b"y").digest()).decode()
    code, message = refused(
        emulator.s3.put_object, Bucket=BUCKET, Key="damaged", Body=b"x", ChecksumSHA256=other
    )
    assert (code, "SHA256" in message) == ("BadDigest", True)
    md5 = {"Content-MD5": base64.b64encode(hashlib.md5(b"y").digest()).decode()}  # noqa: S324
    assert b"BadDigest" in raw(emulator, "damaged", b"x", md5)[1]
    # A client that ends in the middle of its body.
    host, port = emulator.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        lines = [f"PUT /{BUCKET}/damaged HTTP/1.1", f"Host: {host}:{port}", "Content-Length: 9"]
        lines += [f"{name}: {value}" for name, value in signed("s3").items()]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\nhalf").encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
        assert b"IncompleteBody" in answer
    assert refused(emulator.s3.get_object, Bucket=BUCKET, Key="damaged")[0] == "NoSuchKey"


def test_large_objects_take_little_memory(emulator: Emulator, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(2**20))
    before = peak_mib(emulator)
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=16 * 2**20)
    emulator.s3.upload_file(str(large), BUCKET, "large", Config=config)
    with large.open("rb") as file:
        emulator.s3.put_object(Bucket=BUCKET, Key="whole", Body=file)
    source = {"Bucket": BUCKET, "Key": "whole"}
    emulator.s3.copy_object(Bucket=BUCKET, Key="copied", CopySource=source)
    emulator.s3.copy(source, BUCKET, "copied in parts", Config=config)
    for key in ("large", "whole", "copied", "copied in parts"):
        emulator.s3.download_file(BUCKET, key, str(tmp_path / "back"), Config=config)
        assert (tmp_path / "back").read_bytes() == large.read_bytes()
    assert peak_mib(emulator) - before < 100
    for key in ("large", "whole", "copied", "copied in parts"):
        emulator.s3.delete_object(Bucket=BUCKET, Key=key)


def test_pages_of_keys(emulator: Emulator) -> None:
    emulator.s3.create_bucket(Bucket="pages")
    keys = ["a", "a/", "a/1", "a/2", "a/b/3", "a b", "b", "b/1", "c&<d>", "ü/x", "z\n1"]
    for key in keys:
        emulator.s3.put_object(Bucket="pages", Key=key, Body=b"x")
    for name in ("list_objects", "list_objects_v2"):
        for size in (1, 2, 3, 1000):
            for prefix, delimiter, objects, folders in [
                ("", "", sorted(keys), []),
                ("", "/", ["a", "a b", "b", "c&<d>", "z\n1"], ["a/", "b/", "ü/"]),
                ("a/", "/", ["a/", "a/1", "a/2"], ["a/b/"]),
                ("a", "b", ["a", "a/", "a/1", "a/2"], ["a b", "a/b"]),
                ("nothing", "/", [], []),
            ]:
                pages = list(
                    emulator.s3.get_paginator(name).paginate(
                        Bucket="pages", Prefix=prefix, Delimiter=delimiter,
                        PaginationConfig={"PageSize": size},
                    )
                )  # fmt: skip
                found = [one["Key"] for page in pages for one in page.get("Contents", [])]
                rolled = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
                assert (found, rolled) == (objects, folders), (name, size, prefix)
    listed = emulator.s3.list_objects_v2(Bucket="pages", StartAfter="a/2", MaxKeys=2)
    assert [one["Key"] for one in listed["Contents"]] == ["a/b/3", "b"]
    assert listed["IsTruncated"]
    assert emulator.s3.list_objects_v2(Bucket="pages", MaxKeys=0)["KeyCount"] == 0
    call = emulator.s3.list_objects_v2
    assert refused(call, Bucket="pages", ContinuationToken="?")[0] == "InvalidArgument"
    assert refused(call, Bucket="not-there")[0] == "NoSuchBucket"


def test_deletions(emulator: Emulator) -> None:
    emulator.s3.create_bucket(Bucket="deletions")
    keys = ["x", "a&b<c>", "line\nbreak", "sp ace", "ü"]
    for key in keys:
        emulator.s3.put_object(Bucket="deletions", Key=key, Body=b"x")
    wanted = {"Objects": [{"Key": key} for key in [*keys, "not there"]]}
    answer = emulator.s3.delete_objects(Bucket="deletions", Delete=wanted)
    assert [one["Key"] for one in answer["Deleted"]] == [*keys, "not there"]
    assert emulator.s3.list_objects_v2(Bucket="deletions")["KeyCount"] == 0
    assert len(files_below(emulator.state / "s3" / "deletions")) == 1
    for text in ("", "<x>", "<Delete/>", "<!DOCTYPE x><Delete/>"):
        status, _, found = send(emulator, "POST", "/deletions?delete", signed("s3"), text)
        assert (status, "MalformedXML" in found) == (400, True)


def test_a_connection_stays_open_and_a_refused_body_is_not_read(emulator: Emulator) -> None:
    connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"))
    sockets = set()
    for number in range(20):
        connection.request("PUT", f"/{BUCKET}/open", b"x" * number, signed("s3"))
        connection.getresponse().read()
        connection.request("GET", f"/{BUCKET}/open", headers=signed("s3"))
        assert len(connection.getresponse().read()) == number
        sockets.add(connection.sock)
    assert len(sockets) == 1
    connection.close()
    # A stranger announces a gigabyte: the answer comes before it is sent.
    host, port = emulator.url.removeprefix("http://").split(":")
    for length in (2**30, -5):
        with socket.create_connection((host, int(port))) as stranger:
            stranger.settimeout(10)
            lines = [f"PUT /{BUCKET}/x HTTP/1.1", f"Host: {host}:{port}"]
            stranger.sendall("\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode())
            answer = stranger.recv(4096)
            assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))
            while answer:
                answer = stranger.recv(4096)

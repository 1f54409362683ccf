"""S3 checks the checksums that clients send, and answers those that they ask for."""

import base64
import hashlib
import os
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator.client import Emulator, refused
from tests.emulator.objects import BUCKET, body, with_objects
from tests.emulator.test_s3 import chunked, raw

pytestmark = pytest.mark.slow
POLYNOMIALS = {"CRC32C": (32, 0x82F63B78), "CRC64NVME": (64, 0x9A6C9329AC4BC9B5)}
# The published check values: of "123456789".
CHECKS = {"CRC32": "cbf43926", "CRC32C": "e3069283", "CRC64NVME": "ae8b14860a799888"}
PART = 5 * 2**20


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with with_objects(tmp_path_factory) as emulator:
        for name in ("versions", "plain"):
            emulator.s3.create_bucket(Bucket=name)
        emulator.s3.put_bucket_versioning(
            Bucket="versions", VersioningConfiguration={"Status": "Enabled"}
        )
        yield emulator


def bit_by_bit(algorithm: str, content: bytes) -> str:
    bits, polynomial = POLYNOMIALS[algorithm]
    value = 2**bits - 1
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
    return base64.b64encode((value ^ (2**bits - 1)).to_bytes(bits // 8, "big")).decode()


def crc32(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


def of_text(algorithm: str) -> str:
    """Return the checksum of "123456789"."""
    if algorithm in CHECKS:
        return base64.b64encode(bytes.fromhex(CHECKS[algorithm])).decode()
    return base64.b64encode(hashlib.new(algorithm.lower(), b"123456789").digest()).decode()


@pytest.mark.parametrize("algorithm", [*CHECKS, "SHA1", "SHA256", "SHA512", "MD5"])
@pytest.mark.parametrize(
    ("bucket", "more"),
    [("plain", {}), ("plain", {"Tagging": "a=b"}), ("versions", {})],
    ids=["plain", "with tags", "versions"],
)
def test_a_checksum_is_checked_and_kept(
    emulator: Emulator, algorithm: str, bucket: str, more: dict[str, str]
) -> None:
    right, name = of_text(algorithm), f"Checksum{algorithm}"
    size = len(base64.b64decode(right))
    call = {"Bucket": bucket, "Key": f"sum {algorithm}", "Body": b"123456789", **more}
    wrong = base64.b64encode(bytes(size)).decode()
    code, message = refused(emulator.s3.put_object, **call, **{name: wrong})
    assert (code, algorithm in message) == ("BadDigest", True)
    for malformed in ("zz", "AAAA", base64.b64encode(bytes(size + 1)).decode()):
        code, message = refused(emulator.s3.put_object, **call, **{name: malformed})
        assert (code, algorithm.lower() in message) == ("InvalidRequest", True), malformed
    assert emulator.s3.put_object(**call, **{name: right})[name] == right
    found = emulator.s3.head_object(Bucket=bucket, Key=f"sum {algorithm}", ChecksumMode="ENABLED")
    assert found[name] == right
    assert bucket == "versions" or found["ChecksumType"] == "FULL_OBJECT"


@pytest.mark.parametrize("algorithm", POLYNOMIALS)
def test_checksums_of_bodies_of_all_lengths(emulator: Emulator, algorithm: str) -> None:
    content = os.urandom(70_000)
    for size in (0, 1, 7, 8, 511, 512, 520, 16_383, 16_384, 16_385, 32_768, 70_000):
        right = bit_by_bit(algorithm, content[:size])
        answer = emulator.s3.put_object(
            Bucket=BUCKET, Key="sized", Body=content[:size], **{f"Checksum{algorithm}": right}
        )
        assert answer[f"Checksum{algorithm}"] == right, size


def test_a_trailing_checksum_is_checked(emulator: Emulator) -> None:
    content = os.urandom(50_000)
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-crc64nvme",
    }

    def send(key: str, checksum: str, **more: str) -> tuple[int, bytes]:
        sent = chunked(content, signature=False, checksum=checksum)
        return raw(emulator, key, sent.replace(b"-crc32:", b"-crc64nvme:"), headers | more)

    status, text = raw(emulator, "trailing", chunked(content, signature=False), headers)
    assert (status, b"MalformedTrailerError" in text) == (400, True)
    right = bit_by_bit("CRC64NVME", content)
    for more in ({}, {"x-amz-tagging": "a=b"}):
        status, text = send("trailing", "AAAAAAAAAAA=", **more)
        assert (status, b"BadDigest" in text) == (400, True)
        status, text = send("trailing", "AAAA", **more)
        assert (status, b"trailing header is invalid" in text) == (400, True)
        assert send("trailing", right, **more)[0] == 200
        assert body(emulator, "trailing") == content


def test_one_checksum_that_can_be_checked(emulator: Emulator) -> None:
    two = {"ChecksumCRC32": of_text("CRC32"), "ChecksumSHA1": of_text("SHA1")}
    call = {"Bucket": BUCKET, "Key": "refused", "Body": b"123456789"}
    assert refused(emulator.s3.put_object, **call, **two)[0] == "InvalidRequest"
    # The algorithm that an SDK names does not hide the checksum that the client gave.
    given = {"ChecksumAlgorithm": "CRC32", "ChecksumSHA256": crc32(b"")}
    assert refused(emulator.s3.put_object, **call, **given)[0] == "InvalidRequest"
    code, message = refused(emulator.s3.put_object, **call, ChecksumXXHASH64="AAAAAAAAAAA=")
    assert (code, "XXHASH64" in message) == ("NotImplemented", True)
    assert refused(emulator.s3.head_object, Bucket=BUCKET, Key="refused")[0] == "404"
    # Only "*" is a condition here: the object would be replaced otherwise.
    code, _ = refused(emulator.s3.put_object, **call, IfNoneMatch='"d41d8cd98f"')
    assert code == "NotImplemented"


def test_a_copy_has_the_checksum_that_it_asks_for(emulator: Emulator) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="from", Body=b"123456789")
    for more, algorithm in [({}, "CRC32"), ({"ChecksumAlgorithm": "SHA256"}, "SHA256")]:
        answer = emulator.s3.copy_object(
            Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "from"}, **more
        )
        found = emulator.s3.head_object(Bucket=BUCKET, Key="to", ChecksumMode="ENABLED")
        for one in (answer["CopyObjectResult"], found):
            assert one[f"Checksum{algorithm}"] == of_text(algorithm)
            assert one["ChecksumType"] == "FULL_OBJECT"


def start(emulator: Emulator, algorithm: str, **more: str) -> dict[str, Any]:
    where = {"Bucket": BUCKET, "Key": f"parts {algorithm}"}
    upload = emulator.s3.create_multipart_upload(**where, ChecksumAlgorithm=algorithm, **more)
    return where | {"UploadId": upload["UploadId"]}


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC64NVME"])
def test_an_upload_in_parts_with_one_checksum(emulator: Emulator, algorithm: str) -> None:
    contents = [bytes(PART), b"the end"]
    more = {"ChecksumType": "FULL_OBJECT"} if algorithm == "CRC32" else {}
    where = start(emulator, algorithm, **more)
    checksum = crc32 if algorithm == "CRC32" else lambda text: bit_by_bit(algorithm, text)
    parts = []
    for number, content in enumerate(contents, 1):
        given = {} if number == 1 else {f"Checksum{algorithm}": checksum(content)}
        client = emulator.s3
        if number == 1:  # boto3 has no CRC64NVME of its own; another algorithm is refused
            code, message = refused(
                client.upload_part, **where, PartNumber=1, Body=content, ChecksumAlgorithm="SHA256"
            )
            assert (code, "sha256" in message) == ("InvalidRequest", True)
            url = client.generate_presigned_url("upload_part", where | {"PartNumber": 1})
            path = url.partition("?")[2]
            status, _ = raw(emulator, f"parts%20{algorithm}?{path}", content, {})
            assert status == 200
            tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        else:
            tag = client.upload_part(**where, PartNumber=2, Body=content, **given)["ETag"]
        parts.append({"PartNumber": number, "ETag": tag, **given})
    complete = emulator.s3.complete_multipart_upload
    wrong = [parts[0], parts[1] | {f"Checksum{algorithm}": checksum(b"other")}]
    assert refused(complete, **where, MultipartUpload={"Parts": wrong})[0] == "InvalidPart"
    named = where | {"MultipartUpload": {"Parts": parts}}
    given = {f"Checksum{algorithm}": checksum(b"other")}
    assert refused(complete, **named, **given)[0] == "BadDigest"
    assert refused(complete, **named, MpuObjectSize=7)[0] == "InvalidRequest"
    assert refused(emulator.s3.head_object, Bucket=BUCKET, Key=where["Key"])[0] == "404"
    size = len(b"".join(contents))
    if algorithm == "CRC32":
        given = {"ChecksumCRC32": crc32(b"".join(contents))}
        complete(**named, **given, MpuObjectSize=size)
    else:
        complete(**named, MpuObjectSize=size)
    found = emulator.s3.head_object(Bucket=BUCKET, Key=where["Key"], ChecksumMode="ENABLED")
    assert (found["ContentLength"], found["ChecksumType"]) == (size, "FULL_OBJECT")
    if algorithm == "CRC32":
        assert found["ChecksumCRC32"] == given["ChecksumCRC32"]
    again = complete(**named)
    assert again[f"Checksum{algorithm}"] == found[f"Checksum{algorithm}"]


def test_a_part_that_is_a_copy_has_the_uploads_checksum(emulator: Emulator) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="whole", Body=b"0123456789")
    where = start(emulator, "SHA256")
    source = {"Bucket": BUCKET, "Key": "whole"}
    part = emulator.s3.upload_part_copy(
        **where, PartNumber=1, CopySource=source, CopySourceRange="bytes=1-9"
    )["CopyPartResult"]
    assert part["ChecksumSHA256"] == of_text("SHA256")
    named = {"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": crc32(b"other")}
    complete = emulator.s3.complete_multipart_upload
    assert refused(complete, **where, MultipartUpload={"Parts": [named]})[0] == "InvalidPart"
    named["ChecksumSHA256"] = part["ChecksumSHA256"]
    complete(**where, MultipartUpload={"Parts": [named]})
    assert body(emulator, where["Key"]) == b"123456789"


def test_the_chunks_of_aws_are_no_encoding_of_the_object(emulator: Emulator) -> None:
    headers = {
        "Content-Encoding": "gzip, aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }
    assert raw(emulator, "packed", chunked(b"text", signature=False), headers)[0] == 200
    assert emulator.s3.head_object(Bucket=BUCKET, Key="packed")["ContentEncoding"] == "gzip"


def test_types_of_checksums_that_an_upload_cannot_have(emulator: Emulator) -> None:
    create = emulator.s3.create_multipart_upload
    for algorithm, kind in [("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")]:
        code, message = refused(
            create, Bucket=BUCKET, Key="x", ChecksumAlgorithm=algorithm, ChecksumType=kind
        )
        assert (code, kind in message) == ("InvalidRequest", True)

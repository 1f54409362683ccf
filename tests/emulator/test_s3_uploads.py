"""Objects come into S3 as on AWS: in parts, as copies, and from several clients at once."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator.client import Emulator, files_below, refused
from tests.emulator.objects import BUCKET, body, with_objects

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with with_objects(tmp_path_factory) as emulator:
        yield emulator


def test_uploads_in_parts(emulator: Emulator) -> None:
    parts = [os.urandom(5 * 2**20), os.urandom(5 * 2**20), b"end"]
    upload = emulator.s3.create_multipart_upload(
        Bucket=BUCKET, Key="parts", ContentType="image/x", Metadata={"a": "b"}
    )["UploadId"]
    where = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    tags = []
    for number, part in enumerate([b"replaced", *parts[1:]], 1):
        tags.append(emulator.s3.upload_part(**where, PartNumber=number, Body=part)["ETag"])
    tags[0] = emulator.s3.upload_part(**where, PartNumber=1, Body=parts[0])["ETag"]
    listed = emulator.s3.list_parts(**where)["Parts"]
    assert [part["Size"] for part in listed] == [len(part) for part in parts]

    def named(*numbers: int) -> dict[str, Any]:
        return {"Parts": [{"PartNumber": n, "ETag": tags[n - 1]} for n in numbers]}

    complete = emulator.s3.complete_multipart_upload
    assert refused(complete, **where, MultipartUpload=named(2, 1))[0] == "InvalidPartOrder"
    assert refused(complete, **where, MultipartUpload=named(3, 3))[0] == "InvalidPartOrder"
    wrong = {"Parts": [{"PartNumber": 1, "ETag": tags[1]}]}
    assert refused(complete, **where, MultipartUpload=wrong)[0] == "InvalidPart"
    missing = {"Parts": [{"PartNumber": 9, "ETag": tags[1]}]}
    assert refused(complete, **where, MultipartUpload=missing)[0] == "InvalidPart"
    emulator.s3.upload_part(**where, PartNumber=4, Body=b"x")
    tags.append(emulator.s3.upload_part(**where, PartNumber=4, Body=b"x")["ETag"])
    assert refused(complete, **where, MultipartUpload=named(3, 4))[0] == "EntityTooSmall"
    other = where | {"UploadId": "none"}
    assert refused(complete, **other, MultipartUpload=named(1))[0] == "NoSuchUpload"
    assert refused(emulator.s3.upload_part, **other, PartNumber=1, Body=b"")[0] == "NoSuchUpload"
    for number in (0, 10_001):
        code, _ = refused(emulator.s3.upload_part, **where, PartNumber=number, Body=b"")
        assert code == "InvalidArgument"
    first = complete(**where, MultipartUpload=named(1, 2, 3))
    again = complete(**where, MultipartUpload=named(1, 2, 3))
    assert first["ETag"] == again["ETag"]
    assert first["ETag"].endswith('-3"')
    found = emulator.s3.head_object(Bucket=BUCKET, Key="parts")
    assert (found["ContentType"], found["Metadata"]) == ("image/x", {"a": "b"})
    assert body(emulator, "parts") == b"".join(parts)
    assert body(emulator, "parts", Range="bytes=5242879-5242880") == parts[0][-1:] + parts[1][:1]


def test_aborted_and_unfinished_uploads_leave_no_file(emulator: Emulator) -> None:
    before = len(files_below(emulator.state / "s3"))
    uploads = []
    for key in ("aborted", "unfinished"):
        upload = emulator.s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        emulator.s3.upload_part(
            Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * 1000
        )
        uploads.append(upload)
    assert len(files_below(emulator.state / "s3")) == before + 2
    emulator.s3.abort_multipart_upload(Bucket=BUCKET, Key="aborted", UploadId=uploads[0])
    assert len(files_below(emulator.state / "s3")) == before + 1
    port = emulator.url
    emulator.s3.list_buckets()
    emulator.end(signal.SIGKILL)
    emulator.start()
    assert emulator.url == port  # clients go on with the address that they have
    assert len(files_below(emulator.state / "s3")) <= before


def test_a_copy_is_independent(emulator: Emulator) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="from", Body=b"one", Metadata={"a": "b"})
    source = {"Bucket": BUCKET, "Key": "from"}
    emulator.s3.copy_object(Bucket=BUCKET, Key="to", CopySource=source)
    emulator.s3.copy_object(
        Bucket=BUCKET, Key="named", CopySource=source, MetadataDirective="REPLACE",
        Metadata={"c": "d"},
    )  # fmt: skip
    emulator.s3.put_object(Bucket=BUCKET, Key="from", Body=b"two")
    emulator.s3.delete_object(Bucket=BUCKET, Key="from")
    assert body(emulator, "to") == body(emulator, "named") == b"one"
    assert emulator.s3.head_object(Bucket=BUCKET, Key="to")["Metadata"] == {"a": "b"}
    assert emulator.s3.head_object(Bucket=BUCKET, Key="named")["Metadata"] == {"c": "d"}
    call = emulator.s3.copy_object
    assert refused(call, Bucket=BUCKET, Key="x", CopySource=source)[0] == "NoSuchKey"
    itself = {"Bucket": BUCKET, "Key": "to"}
    code, _ = refused(call, Bucket=BUCKET, Key="x", CopySource=itself, CopySourceIfMatch='"other"')
    assert code == "PreconditionFailed"
    assert refused(call, Bucket=BUCKET, Key="to", CopySource=itself)[0] == "InvalidRequest"
    call(Bucket=BUCKET, Key="to", CopySource=itself, MetadataDirective="REPLACE")
    assert body(emulator, "to") == b"one"


def test_readers_and_writers_of_one_key(emulator: Emulator) -> None:
    contents = [bytes([number]) * 50_000 for number in range(4)]
    emulator.s3.put_object(Bucket=BUCKET, Key="busy", Body=contents[0])
    wrong: list[object] = []

    def write(content: bytes) -> None:
        for _ in range(15):
            emulator.s3.put_object(Bucket=BUCKET, Key="busy", Body=content)

    def read() -> None:
        for _ in range(40):
            found = body(emulator, "busy")
            if found not in contents:
                wrong.append(len(found))

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    threads += [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    emulator.s3.delete_object(Bucket=BUCKET, Key="busy")


def test_pages_of_parts_with_gaps_in_their_numbers(emulator: Emulator) -> None:
    s3, place = emulator.s3, {"Bucket": BUCKET, "Key": "gaps"}
    upload = place | {"UploadId": s3.create_multipart_upload(**place)["UploadId"]}
    for number in (1, 5, 9, 100):
        s3.upload_part(**upload, PartNumber=number, Body=b"x")
    pages = s3.get_paginator("list_parts").paginate(**upload, PaginationConfig={"PageSize": 2})
    assert [[part["PartNumber"] for part in page["Parts"]] for page in pages] == [[1, 5], [9, 100]]
    s3.abort_multipart_upload(**upload)
    assert refused(s3.list_parts, **upload)[0] == "NoSuchUpload"


def test_attributes_of_an_object_have_its_parts(emulator: Emulator) -> None:
    s3, place = emulator.s3, {"Bucket": BUCKET, "Key": "attributes"}
    wanted = {**place, "ObjectAttributes": ["ETag", "ObjectParts", "ObjectSize"]}
    sizes = [5 * 2**20, 5 * 2**20, 3]

    def send(**more: str) -> list[str | None]:
        upload = place | {"UploadId": s3.create_multipart_upload(**place, **more)["UploadId"]}
        parts = [
            {
                "PartNumber": number,
                **s3.upload_part(**upload, PartNumber=number, Body=b"x" * size, **more),
            }
            for number, size in enumerate(sizes, 1)
        ]
        kept = ("PartNumber", "ETag", "ChecksumSHA256")
        named = [{name: part[name] for name in kept if name in part} for part in parts]
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": named})
        return [part.get("ChecksumSHA256") for part in parts]

    send()
    found = s3.get_object_attributes(**wanted)
    assert (found["ObjectParts"], found["ObjectSize"]) == ({"TotalPartsCount": 3}, sum(sizes))
    checksums = send(ChecksumAlgorithm="SHA256")
    emulator.end()
    emulator.start()
    page = emulator.s3.get_object_attributes(**wanted, MaxParts=2)["ObjectParts"]
    assert (page["TotalPartsCount"], page["IsTruncated"]) == (3, True)
    marker = page["NextPartNumberMarker"]
    rest = emulator.s3.get_object_attributes(**wanted, PartNumberMarker=marker)["ObjectParts"]
    parts = [*page["Parts"], *rest["Parts"]]
    assert [part["Size"] for part in parts] == sizes
    assert [part["ChecksumSHA256"] for part in parts] == checksums
    emulator.s3.put_object(**place, Body=b"one")
    found = emulator.s3.get_object_attributes(**wanted)
    assert ("ObjectParts" in found, found["ObjectSize"]) == (False, 3)
    code, _ = refused(emulator.s3.get_object_attributes, **place, ObjectAttributes=["Size"])
    assert code == "InvalidArgument"

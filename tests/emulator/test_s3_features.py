"""S3: tags and parts are those of AWS; what is not offered is refused and changes nothing."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator.client import Emulator, refused, signed
from tests.emulator.objects import BUCKET, body, with_objects
from tests.emulator.test_doors import send

pytestmark = pytest.mark.slow
PART = 5 * 2**20


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with with_objects(tmp_path_factory) as emulator:
        yield emulator


def tags(emulator: Emulator, key: str) -> dict[str, str]:
    found = emulator.s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


def test_a_new_object_has_no_tags_of_the_old_one(emulator: Emulator) -> None:
    s3, place = emulator.s3, {"Bucket": BUCKET, "Key": "tagged"}
    for replace in (
        lambda: s3.put_object(**place, Body=b"new"),
        lambda: (s3.delete_object(**place), s3.put_object(**place, Body=b"new")),
        lambda: s3.copy_object(**place, CopySource={"Bucket": BUCKET, "Key": "plain"}),
    ):
        s3.put_object(Bucket=BUCKET, Key="plain", Body=b"plain")
        s3.put_object(**place, Body=b"old", Tagging="a=b")
        assert tags(emulator, "tagged") == {"a": "b"}
        replace()
        assert tags(emulator, "tagged") == {}
        assert "TagCount" not in s3.head_object(**place)


def test_a_copy_has_the_tags_of_its_source(emulator: Emulator) -> None:
    s3 = emulator.s3
    s3.put_object(Bucket=BUCKET, Key="source", Body=b"x", Tagging="a=b&c=d")
    source = {"Bucket": BUCKET, "Key": "source"}
    s3.copy_object(Bucket=BUCKET, Key="copied", CopySource=source)
    s3.copy_object(Bucket=BUCKET, Key="told", CopySource=source, TaggingDirective="COPY")
    changed = {"MetadataDirective": "REPLACE", "Metadata": {"m": "n"}}
    s3.copy_object(Bucket=BUCKET, Key="source", CopySource=source, **changed)
    for key in ("copied", "told", "source"):
        assert tags(emulator, key) == {"a": "b", "c": "d"}, key
    replaced = {"TaggingDirective": "REPLACE", "Tagging": "e=f"}
    s3.copy_object(Bucket=BUCKET, Key="copied", CopySource=source, **replaced)
    assert tags(emulator, "copied") == {"e": "f"}


def test_the_bucket_of_a_source_is_missing(emulator: Emulator) -> None:
    source = {"Bucket": "nowhere", "Key": "x"}
    code, _ = refused(emulator.s3.copy_object, Bucket=BUCKET, Key="x", CopySource=source)
    assert code == "NoSuchBucket"


@pytest.mark.parametrize("versions", [False, True])
def test_a_plus_sign_in_the_name_of_a_source_is_a_space(emulator: Emulator, versions: bool) -> None:
    s3, bucket = emulator.s3, f"plus-{versions}".lower()
    s3.create_bucket(Bucket=bucket)
    if versions:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="a b+c", Body=b"x")
    for name, status in (("a+b%2Bc", 200), ("a%20b%2Bc", 200), ("a%20b+c", 404)):
        headers = signed("s3") | {"x-amz-copy-source": f"{bucket}/{name}"}
        assert send(emulator, "PUT", f"/{bucket}/copy", headers)[0] == status, name


def upload(emulator: Emulator, key: str, *contents: bytes) -> dict[str, Any]:
    """Upload an object in parts; return the answer to its completion."""
    s3 = emulator.s3
    where = {"Bucket": BUCKET, "Key": key}
    where["UploadId"] = s3.create_multipart_upload(**where)["UploadId"]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**where, PartNumber=number, Body=one)["ETag"]}
        for number, one in enumerate(contents, 1)
    ]
    done: dict[str, Any] = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    return done


def test_an_object_is_read_part_by_part(emulator: Emulator) -> None:
    contents = (b"a" * PART, b"b" * PART, b"end")
    done = upload(emulator, "parts", *contents)
    assert "VersionId" not in done  # the bucket has no versions
    emulator.end()
    emulator.start()
    for number, content in enumerate(contents, 1):
        place = {"Bucket": BUCKET, "Key": "parts", "PartNumber": number}
        found = emulator.s3.head_object(**place)
        assert (found["PartsCount"], found["ContentLength"]) == (3, len(content))
        start = (number - 1) * PART
        end = start + len(content) - 1
        assert found["ContentRange"] == f"bytes {start}-{end}/{2 * PART + 3}"
        assert body(emulator, "parts", PartNumber=number) == content
    get = emulator.s3.get_object
    assert refused(get, Bucket=BUCKET, Key="parts", PartNumber=4)[0] == "InvalidPartNumber"
    code, _ = refused(get, Bucket=BUCKET, Key="parts", PartNumber=1, Range="bytes=0-1")
    assert code == "InvalidRequest"
    assert refused(get, Bucket=BUCKET, Key="none", PartNumber=1)[0] == "NoSuchKey"
    emulator.s3.put_object(Bucket=BUCKET, Key="one", Body=b"0123")
    assert body(emulator, "one", PartNumber=1) == b"0123"
    assert refused(get, Bucket=BUCKET, Key="one", PartNumber=2)[0] == "InvalidPartNumber"
    copied = {"Bucket": BUCKET, "Key": "parts"}
    emulator.s3.copy_object(Bucket=BUCKET, Key="whole", CopySource=copied)
    assert body(emulator, "whole", PartNumber=1) == b"".join(contents)


def test_parts_of_objects_with_versions_are_refused(emulator: Emulator) -> None:
    s3, bucket = emulator.s3, "versioned-parts"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="x", Body=b"x")["VersionId"]
    code, message = refused(s3.get_object, Bucket=bucket, Key="x", PartNumber=1)
    assert code == "NotImplemented"
    assert message.startswith("partNumber ")
    assert s3.head_object(Bucket=bucket, Key="x")["VersionId"] == version


def test_answers_have_no_headers_of_the_upload(emulator: Emulator) -> None:
    digest = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-sdk-checksum-algorithm": "CRC32"}
    headers = signed("s3") | digest | {"x-amz-meta-a": "b", "Content-Language": "de"}
    assert send(emulator, "PUT", f"/{BUCKET}/headers", headers, "x")[0] == 200
    found = send(emulator, "GET", f"/{BUCKET}/headers", signed("s3"))[1]
    assert (found["x-amz-meta-a"], found["content-language"]) == ("b", "de")
    assert not set(digest) & set(found)


# Requests that moto answers as if they had no sub-resource: a list, a deletion, a new object.
REFUSED = [
    ("GET", "", "requestPayment", "GetBucketRequestPayment"),
    ("GET", "", "metrics", "ListBucketMetricsConfigurations"),
    ("GET", "", "session", "CreateSession"),
    ("PUT", "", "analytics&id=1", "PutBucketAnalyticsConfiguration"),
    ("DELETE", "", "metrics&id=1", "DeleteBucketMetricsConfiguration"),
    ("DELETE", "", "inventory&id=1", "DeleteBucketInventoryConfiguration"),
    ("GET", "kept", "torrent", "GetObjectTorrent"),
    ("GET", "kept", "retention", "GetObjectRetention"),
    ("PUT", "kept", "encryption", "UpdateObjectEncryption"),
    ("PUT", "kept", "renameObject", "RenameObject"),
]


@pytest.mark.parametrize(("method", "key", "query", "operation"), REFUSED)
def test_unknown_sub_resources_are_refused_by_name(
    emulator: Emulator, method: str, key: str, query: str, operation: str
) -> None:
    bucket = "kept-as-it-is"
    emulator.s3.create_bucket(Bucket=bucket)
    if key:
        emulator.s3.put_object(Bucket=bucket, Key=key, Body=b"kept")
    text = "<x/>" if method == "PUT" else ""
    status, _, answer = send(emulator, method, f"/{bucket}/{key}?{query}", signed("s3"), text)
    assert (status, "<Code>NotImplemented</Code>" in answer) == (501, True)
    assert f"<Message>{operation} is not emulated</Message>" in answer
    emulator.s3.head_bucket(Bucket=bucket)
    if key:
        with emulator.s3.get_object(Bucket=bucket, Key=key)["Body"] as kept:
            assert kept.read() == b"kept"
        emulator.s3.delete_object(Bucket=bucket, Key=key)
    emulator.s3.delete_bucket(Bucket=bucket)


def test_features_that_moto_ignores_are_refused(emulator: Emulator) -> None:
    s3, place = emulator.s3, {"Bucket": BUCKET, "Key": "secret"}
    s3.put_object(**place, Body=b"kept")
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    for more in (key, {"WriteOffsetBytes": 4}):
        assert refused(s3.put_object, **place, Body=b"new", **more)[0] == "NotImplemented"
    assert body(emulator, "secret") == b"kept"


@pytest.mark.parametrize("versions", [False, True])
def test_lists_of_versions_and_uploads_encode_names(emulator: Emulator, versions: bool) -> None:
    """A key with a control character can be in no XML; SDKs ask for the encoding by themselves."""
    s3, bucket = emulator.s3, f"odd-names-{versions}".lower()
    s3.create_bucket(Bucket=bucket)
    if versions:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    keys = ["%41", "a b/c+d", 'q"&<x>', "z\x01y", "z\ny", "ü"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 2}
    )
    assert [one["Key"] for page in pages for one in page["Versions"]] == keys
    folded = s3.list_object_versions(Bucket=bucket, Prefix="a ", Delimiter="/")
    assert folded["CommonPrefixes"] == [{"Prefix": "a b/"}]
    assert (folded["Prefix"], folded["Delimiter"]) == ("a ", "/")
    for key in (*keys, keys[0]):
        if "\x01" not in key:  # the answer has it in XML
            s3.create_multipart_upload(Bucket=bucket, Key=key)
    pages = s3.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 2}
    )
    uploads = [one for page in pages for one in page["Uploads"]]
    assert [one["Key"] for one in uploads] == [keys[0], *(key for key in keys if key != "z\x01y")]
    assert len({one["UploadId"] for one in uploads}) == len(uploads)
    folded = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert folded["CommonPrefixes"] == [{"Prefix": "a b/"}]
    assert len(folded["Uploads"]) == len(uploads) - 1
    # Who aborts what is older than a week leaves them.
    now = dt.datetime.now(dt.UTC)
    assert all(abs(one["Initiated"] - now) < dt.timedelta(hours=1) for one in uploads)


def test_a_version_that_is_not_there_deletes_nothing(emulator: Emulator) -> None:
    s3, place = emulator.s3, {"Bucket": BUCKET, "Key": "only"}
    s3.put_object(**place, Body=b"kept")
    code, _ = refused(s3.delete_object, **place, VersionId="other")
    assert code == "InvalidArgument"
    named = {"Key": "only", "VersionId": "other"}
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [named]})
    assert [one["Code"] for one in answer["Errors"]] == ["NoSuchVersion"]
    assert body(emulator, "only") == b"kept"
    named["VersionId"] = "null"
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [named]})
    assert [one["Key"] for one in answer["Deleted"]] == ["only"]
    s3.put_object(**place, Body=b"again")
    s3.delete_object(**place, VersionId="null")
    assert refused(s3.get_object, **place)[0] == "NoSuchKey"


def test_versions_are_suspended_only_where_none_is_lost(emulator: Emulator) -> None:
    s3, bucket = emulator.s3, "suspended"
    s3.create_bucket(Bucket=bucket)

    def change(status: str) -> None:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})

    change("Enabled")
    change("Suspended")
    change("Enabled")
    for content in (b"one", b"two"):
        s3.put_object(Bucket=bucket, Key="x", Body=content)
    code, message = refused(change, "Suspended")
    assert (code, "delete them first" in message) == ("NotImplemented", True)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2

"""What S3 refuses before it stores or deletes: conditions, digests, metadata, names, tags."""

import pytest

from tests.emulator.client import BUCKET, Emulator, refused


def put(emulator: Emulator, key: str, body: bytes = b"photo") -> str:
    etag: str = emulator.s3.put_object(Bucket=BUCKET, Key=key, Body=body)["ETag"]
    return etag


def test_a_deletion_with_a_condition(emulator: Emulator) -> None:
    s3, etag = emulator.s3, put(emulator, "conditions/a")
    for key, given in (("conditions/a", '"other"'), ("conditions/none", etag)):
        code, _ = refused(s3.delete_object, Bucket=BUCKET, Key=key, IfMatch=given)
        assert code == "PreconditionFailed"
    assert emulator.keys("conditions/a") == ["conditions/a"]
    s3.delete_object(Bucket=BUCKET, Key="conditions/a", IfMatch=etag)
    assert emulator.keys("conditions/a") == []


def test_deletions_of_several_objects_with_conditions(emulator: Emulator) -> None:
    etag = put(emulator, "conditions/b")
    put(emulator, "conditions/c", b"other")
    objects = [{"Key": f"conditions/{name}", "ETag": etag} for name in "bc"]
    answer = emulator.s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects})
    assert [one["Key"] for one in answer["Deleted"]] == ["conditions/b"]
    (error,) = answer["Errors"]
    assert (error["Key"], error["Code"]) == ("conditions/c", "PreconditionFailed")
    assert emulator.keys("conditions/") == ["conditions/c"]


def test_a_digest_that_is_none_is_refused(emulator: Emulator) -> None:
    put_object = emulator.s3.put_object
    code, _ = refused(put_object, Bucket=BUCKET, Key="digest", Body=b"x", ContentMD5="xx")
    assert code == "InvalidDigest"
    assert emulator.keys("digest") == []


def test_metadata_has_two_kibibytes(emulator: Emulator) -> None:
    put_object = emulator.s3.put_object
    most = {"Bucket": BUCKET, "Key": "meta", "Body": b"x", "Metadata": {"a": "x" * 2047}}
    put_object(**most)
    code, _ = refused(put_object, **(most | {"Metadata": {"a": "x" * 2048}}))
    assert code == "MetadataTooLarge"


def test_an_upload_in_parts_with_a_condition(emulator: Emulator) -> None:
    s3, place = emulator.s3, {"Bucket": BUCKET, "Key": "conditions/parts"}
    etag = put(emulator, "conditions/parts")
    upload = place | {"UploadId": s3.create_multipart_upload(**place)["UploadId"]}
    part = s3.upload_part(**upload, PartNumber=1, Body=b"other")["ETag"]
    named = {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part}]}}
    for condition in ({"IfMatch": part}, {"IfNoneMatch": "*"}):
        code, _ = refused(s3.complete_multipart_upload, **upload, **named, **condition)
        assert code == "PreconditionFailed"
    assert emulator.body("conditions/parts") == b"photo"
    s3.complete_multipart_upload(**upload, **named, IfMatch=etag)
    assert emulator.body("conditions/parts") == b"other"


def test_another_owner_is_refused(emulator: Emulator) -> None:
    s3, place = emulator.s3, {"Bucket": BUCKET, "Key": "conditions/owned"}
    put(emulator, "conditions/owned")
    for owner, good in (("123456789012", True), ("999999999999", False)):
        given = place | {"ExpectedBucketOwner": owner}
        if good:
            s3.head_object(**given)
            continue
        for call in (s3.get_object, s3.put_object, s3.delete_object):
            assert refused(call, **given)[0] == "AccessDenied"
        listed = {"Bucket": BUCKET, "ExpectedBucketOwner": owner}
        assert refused(s3.list_objects_v2, **listed)[0] == "AccessDenied"
    assert emulator.body("conditions/owned") == b"photo"


def test_the_only_version_is_called_null(emulator: Emulator) -> None:
    place = {"Bucket": BUCKET, "Key": "conditions/null", "VersionId": "null"}
    put(emulator, "conditions/null")
    assert emulator.s3.head_object(**place)["ContentLength"] == 5
    emulator.s3.get_object(**place)["Body"].close()
    emulator.s3.delete_object(**place)
    assert emulator.keys("conditions/null") == []


def test_conditions_in_a_bucket_with_versions(emulator: Emulator) -> None:
    s3, bucket = emulator.s3, "conditions-of-versions"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    place = {"Bucket": bucket, "Key": "a"}
    etag = s3.put_object(**place, Body=b"one")["ETag"]
    code, _ = refused(s3.put_object, **place, Body=b"two", IfNoneMatch=etag)
    assert code == "NotImplemented"
    put(emulator, "conditions/source")
    copy = {"CopySource": {"Bucket": BUCKET, "Key": "conditions/source"}}
    assert refused(s3.copy_object, **place, **copy, IfNoneMatch="*")[0] == "PreconditionFailed"
    version = s3.head_object(**place)["VersionId"]
    for source in (place, place | {"VersionId": version}):
        itself = {"Bucket": bucket, "Key": "b", "CopySource": source}
        code, _ = refused(s3.copy_object, **itself, CopySourceIfMatch='"other"')
        assert code == "PreconditionFailed"
        code, _ = refused(s3.copy_object, **itself, CopySourceIfNoneMatch=etag)
        assert code == "PreconditionFailed"
        s3.copy_object(**itself, CopySourceIfMatch=etag)
    assert s3.head_object(**place)["ETag"] == etag
    s3.delete_object(**place)
    s3.copy_object(**place, **copy, IfNoneMatch="*")
    assert s3.head_object(**place)["ContentLength"] == 5


@pytest.mark.parametrize(
    "name", "192.168.1.1 xn--dogs sthree-dogs amzn-s3-demo-dogs dogs-s3alias dogs--ol-s3".split()
)
def test_reserved_names_of_buckets(emulator: Emulator, name: str) -> None:
    assert refused(emulator.s3.create_bucket, Bucket=name)[0] == "InvalidBucketName"
    names = [one["Name"] for one in emulator.s3.list_buckets()["Buckets"]]
    assert name not in names


def test_an_object_has_each_tag_once(emulator: Emulator) -> None:
    s3, place = emulator.s3, {"Bucket": BUCKET, "Key": "conditions/tags"}
    twins = {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}
    s3.put_object(**place, Tagging="a=1&b=1")
    assert refused(s3.put_object_tagging, **place, Tagging=twins)[0] == "InvalidTag"
    for call in (s3.put_object, s3.create_multipart_upload):
        code, message = refused(call, **place, Tagging="a=1&a=2")
        assert code == "InvalidArgument"
        assert "without tag name duplicates" in message
    assert len(s3.get_object_tagging(**place)["TagSet"]) == 2

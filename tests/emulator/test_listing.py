"""List operations page, sort and filter as their documentation says."""

from typing import Any

import pytest

from emulator.api.listing import BY_NAME, Listing, cut, page
from emulator.errors import Invalid
from emulator.runs import defaults
from tests.emulator.client import BUCKET, QUICK, ROLE, Emulator, refused
from tests.emulator.hosting import create_model

Record = dict[str, Any]


def job(name: str, created: float, status: str = "Completed") -> Record:
    return {"Name": name, "CreationTime": created, "LastModifiedTime": created, "Status": status}


def names(records: list[Record], request: Record, listing: Listing) -> tuple[list[str], Record]:
    found, token = page(records, request, listing, "Name", "Status")
    return [record["Name"] for record in found], token


def all_pages(records: list[Record], request: Record, listing: Listing) -> list[list[str]]:
    pages: list[list[str]] = []
    token: Record = {}
    while not pages or token:
        found, token = names(records, request | token, listing)
        pages.append(found)
    return pages


JOBS = [job("b", 1), job("c", 2, "Failed"), job("a", 3), job("d", 4, "Failed")]


def test_the_order_is_the_operations_own_unless_the_request_has_one() -> None:
    assert names(JOBS, {}, Listing())[0] == ["d", "a", "c", "b"]
    assert names(JOBS, {}, BY_NAME)[0] == ["a", "b", "c", "d"]
    assert names(JOBS, {"SortOrder": "Ascending"}, Listing())[0] == ["b", "c", "a", "d"]
    by_status = {"SortBy": "Status", "SortOrder": "Ascending"}
    assert names(JOBS, by_status, Listing())[0] == ["a", "b", "c", "d"]


def test_a_page_has_ten_items_unless_the_request_says() -> None:
    many = [job(f"{number:02}", number) for number in range(23)]
    assert [len(found) for found in all_pages(many, {}, Listing())] == [10, 10, 3]
    assert [len(found) for found in all_pages(many, {"MaxResults": 23}, Listing())] == [23]
    pages = all_pages(many, {"MaxResults": 4}, Listing())
    whole, _ = names(many, {"MaxResults": 100}, Listing())
    assert [name for found in pages for name in found] == whole


def test_items_of_one_time_are_on_one_page_each() -> None:
    same = [job(name, 1) for name in "abcde"]
    for listing in (Listing(), Listing(descending=False)):
        pages = all_pages(same, {"MaxResults": 2}, listing)
        assert sorted(name for found in pages for name in found) == list("abcde")


@pytest.mark.parametrize("listing", [Listing(), BY_NAME])
def test_what_comes_or_goes_between_pages_repeats_and_hides_nothing(listing: Listing) -> None:
    first, token = names(JOBS, {"MaxResults": 2}, listing)
    changed = [one for one in JOBS if one["Name"] != first[0]] + [job("0new", 9)]
    second, _ = names(changed, {"MaxResults": 2} | token, listing)
    assert sorted(first + second) == ["a", "b", "c", "d"]


def test_a_token_is_for_its_own_request() -> None:
    _, token = names(JOBS, {"MaxResults": 1}, Listing())
    for request in ({"SortBy": "Name"}, {"NameContains": "a"}, {"SortOrder": "Ascending"}):
        with pytest.raises(Invalid, match="the other parameters have changed"):
            names(JOBS, request | token, Listing())
    for text in ("asdf", "MTA=", "W10="):
        with pytest.raises(Invalid, match="Invalid pagination token"):
            names(JOBS, {"NextToken": text}, Listing())


def test_a_status_is_looked_at_after_paging_where_documented() -> None:
    request = {"MaxResults": 2, "StatusEquals": "Failed"}
    assert all_pages(JOBS, request, Listing(status_last=True)) == [["d"], ["c"]]
    assert all_pages(JOBS, request, Listing()) == [["d", "c"]]
    alone = {"StatusEquals": "Failed"}
    assert all_pages(JOBS, alone, Listing(status_last=True)) == [["d", "c"]]


def test_times_include_the_given_one_where_documented() -> None:
    after, before = {"CreationTimeAfter": 3}, {"CreationTimeBefore": 2}
    assert names(JOBS, after, Listing())[0] == ["d"]
    assert names(JOBS, after, Listing(since=True))[0] == ["d", "a"]
    assert names(JOBS, before, Listing(since=True))[0] == ["b"]
    assert names(JOBS, before, Listing(until=True))[0] == ["c", "b"]


def test_pages_of_what_has_no_order_of_the_request() -> None:
    found, token = cut(list("abc"), {"MaxResults": 2}, [], lambda item: [item], 50)
    assert found == ["a", "b"]
    assert cut(list("abc"), {"MaxResults": 2} | token, [], lambda item: [item], 50) == (["c"], {})


def test_models_page_by_ten_newest_first(emulator: Emulator) -> None:
    for number in range(11):
        create_model(emulator, f"listed-{number:02}")
    client = emulator.sagemaker
    first = client.list_models(NameContains="listed")
    assert [model["ModelName"] for model in first["Models"]] == [
        f"listed-{number:02}" for number in range(10, 0, -1)
    ]
    rest = client.list_models(NameContains="listed", NextToken=first["NextToken"])
    assert [model["ModelName"] for model in rest["Models"]] == ["listed-00"]
    assert "NextToken" not in rest
    oldest = first["Models"][-1]["CreationTime"]
    since = client.list_models(NameContains="listed", CreationTimeAfter=oldest, MaxResults=100)
    assert len(since["Models"]) >= 9  # boto3 sends whole milliseconds
    code, message = refused(client.list_models, NextToken="asdf")
    assert (code, message[:24]) == ("ValidationException", "Invalid pagination token")


def test_tags_and_aliases_page(emulator: Emulator) -> None:
    client = emulator.sagemaker
    container = {"Image": "server:1", "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz"}
    tags = [{"Key": f"{number:02}", "Value": "x"} for number in range(50)]
    client.create_image(ImageName="paged", RoleArn=ROLE)
    client.get_waiter("image_created").wait(ImageName="paged", WaiterConfig=QUICK)
    client.create_image_version(
        ImageName="paged", BaseImage="server:1", ClientToken="1", Aliases=["c", "a", "b"]
    )
    two = client.list_aliases(ImageName="paged", MaxResults=2)
    assert two["SageMakerImageVersionAliases"] == ["a", "b"]
    rest = client.list_aliases(ImageName="paged", MaxResults=2, NextToken=two["NextToken"])
    assert rest["SageMakerImageVersionAliases"] == ["c"]
    client.create_model(
        ModelName="many-tags", ExecutionRoleArn=ROLE, PrimaryContainer=container, Tags=tags
    )
    arn = client.describe_model(ModelName="many-tags")["ModelArn"]
    pages = client.get_paginator("list_tags").paginate(ResourceArn=arn)
    assert [tag for found in pages for tag in found["Tags"]] == tags


def test_names_collide_where_their_arns_would(emulator: Emulator) -> None:
    client = emulator.sagemaker
    create_model(emulator, "Case")
    create_model(emulator, "case")
    arns = [client.describe_model(ModelName=name)["ModelArn"] for name in ("Case", "case")]
    assert [arn.rpartition("/")[2] for arn in arns] == ["Case", "case"]
    client.create_image(ImageName="Case", RoleArn=ROLE)
    arn = client.describe_image(ImageName="Case")["ImageArn"]
    assert arn.endswith(":image/case")  # the API's pattern allows lower case only
    assert refused(client.create_image, ImageName="case", RoleArn=ROLE)[0] == "ResourceInUse"
    assert client.describe_image(ImageName="case")["ImageName"] == "Case"


def test_resources_belong_to_the_region_that_signed(emulator: Emulator) -> None:
    create_model(emulator, "here")
    other = emulator.client("sagemaker", "eu-west-1")
    container = {"Image": "server:1"}
    made = other.create_model(ModelName="here", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    assert made["ModelArn"] == "arn:aws:sagemaker:eu-west-1:123456789012:model/here"
    assert [model["ModelName"] for model in other.list_models()["Models"]] == ["here"]
    other.delete_model(ModelName="here")
    assert emulator.sagemaker.describe_model(ModelName="here")["ModelArn"].split(":")[3] == (
        "us-east-1"
    )


def test_an_output_path_is_taken_as_it_is() -> None:
    for path in ("s3://bucket/out", "s3://bucket/out/"):
        assert _artifacts(path) == "s3://bucket/out/dogs/output/model.tar.gz"
    assert _artifacts("s3://bucket/out//") == "s3://bucket/out//dogs/output/model.tar.gz"
    assert _artifacts("s3://bucket") == "s3://bucket/dogs/output/model.tar.gz"


def _artifacts(path: str) -> str:
    request: Record = {
        "TrainingJobName": "dogs",
        "AlgorithmSpecification": {},
        "OutputDataConfig": {"S3OutputPath": path},
    }
    where: str = defaults.training_job(request)["ModelArtifacts"]["S3ModelArtifacts"]
    return where

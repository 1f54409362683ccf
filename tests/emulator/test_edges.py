"""What is not emulated says so, where moto would answer untruly; a reset resets everything."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3  # type: ignore[import-untyped, unused-ignore]
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped, unused-ignore]

from emulator.api.door import refusal
from emulator.keys import JobKeys
from tests.emulator.client import (
    BUCKET,
    IMAGES,
    KEY,
    ROLE,
    Emulator,
    refused,
    signed,
    upload_photos,
)
from tests.emulator.hosting import create_model

TEMPLATE = json.dumps(
    {"Resources": {"Model": {"Type": "AWS::SageMaker::Model", "Properties": {"ModelName": "m"}}}}
)
NETWORK = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})


def test_stacks_make_no_sagemaker_resources(emulator: Emulator) -> None:
    stacks = emulator.client("cloudformation")
    emulator.s3.put_object(Bucket=BUCKET, Key="stack.json", Body=TEMPLATE.encode())
    address = f"https://s3.amazonaws.com/{BUCKET}/stack.json"
    hosted = f"https://{BUCKET}.s3.us-east-1.amazonaws.com/stack.json"
    for given in ({"TemplateBody": TEMPLATE}, {"TemplateURL": address}, {"TemplateURL": hosted}):
        code, message = refused(stacks.create_stack, StackName="ours", **given)
        assert code == "UnknownOperationException"
        assert message.startswith("CloudFormation does not make AWS::SageMaker::Model here")
    stacks.create_stack(StackName="others", TemplateBody=NETWORK)
    names = [stack["StackName"] for stack in stacks.describe_stacks()["Stacks"]]
    assert names == ["others"]


def test_the_tagging_api_does_not_know_our_resources(emulator: Emulator) -> None:
    create_model(emulator, "unseen")
    arn = emulator.sagemaker.describe_model(ModelName="unseen")["ModelArn"]
    tagging = emulator.client("resourcegroupstaggingapi")
    for call, given in (
        (tagging.get_resources, {}),
        (tagging.get_resources, {"ResourceTypeFilters": ["sagemaker:model"]}),
        (tagging.get_resources, {"ResourceARNList": [arn]}),
        (tagging.tag_resources, {"ResourceARNList": [arn], "Tags": {"a": "b"}}),
        (tagging.get_tag_keys, {}),
    ):
        code, message = refused(call, **given)
        assert code == "UnknownOperationException"
        assert "does not know SageMaker's resources here" in message
    assert tagging.get_resources(ResourceTypeFilters=["s3"])["ResourceTagMappingList"] == []


def test_streams_and_other_sagemaker_services_are_refused_by_name(emulator: Emulator) -> None:
    runtime = emulator.client("sagemaker-runtime")
    assert refused(
        runtime.invoke_endpoint_with_response_stream, EndpointName="x", Body=b"photo"
    ) == ("UnknownOperationException", "InvokeEndpointWithResponseStream is not emulated")
    metrics = emulator.client("sagemaker-metrics")
    datum = {"MetricName": "m", "Timestamp": 0, "Value": 1.0}
    _, message = refused(metrics.batch_put_metrics, TrialComponentName="t", MetricData=[datum])
    assert message == "PUT /BatchPutMetrics is not emulated"


def test_bodies_that_are_no_json_are_refused(emulator: Emulator) -> None:
    headers = signed("sagemaker") | {"X-Amz-Target": "SageMaker.ListModels"}
    request = urllib.request.Request(emulator.url, b"{", headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert (answer.status, json.loads(answer.read())["__type"]) == (
            400,
            "SerializationException",
        )


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator that this file can reset."""
    emulator = Emulator(tmp_path_factory.mktemp("reset") / "state", IMAGES).start()
    yield emulator
    emulator.end()


@pytest.mark.slow
def test_a_reset_ends_and_deletes_everything(own: Emulator) -> None:
    upload_photos(own)
    create_model(own, "gone")
    own.client("sns").create_topic(Name="gone")
    own.train("gone", HyperParameters={"sleep": "600"})
    own.wait_for_line("gone")
    url = f"{own.url}/moto-api/reset"
    with urllib.request.urlopen(
        urllib.request.Request(url, headers=signed("sagemaker"), method="POST")
    ) as answer:
        assert answer.status == 200
    assert own.sagemaker.list_models()["Models"] == []
    assert own.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []
    assert own.s3.list_buckets()["Buckets"] == []
    assert own.client("sns").list_topics()["Topics"] == []
    assert own.client("logs").describe_log_groups()["logGroups"] == []
    upload_photos(own)
    own.train("gone")
    assert own.ended("gone")["TrainingJobStatus"] == "Completed"


def test_a_jobs_key_opens_s3_while_it_runs() -> None:
    keys = JobKeys()
    keys.listen_at("http://127.0.0.1:1")

    def status(service: str, key: str) -> int:
        environ = {
            "HTTP_HOST": "127.0.0.1:1",
            "SERVER_PORT": "1",
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/",
            "HTTP_AUTHORIZATION": signed(service, key)["Authorization"],
        }
        answer = refusal(environ, "other", keys.has)
        return answer.status_code if answer else 200

    with keys.issue("us-east-1") as variables:
        key = variables["AWS_ACCESS_KEY_ID"]
        assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
        assert [status(service, key) for service in ("s3", "sts", "sagemaker", "iam", "logs")] == [
            200,
            200,
            403,
            403,
            403,
        ]
        assert status("s3", f"{key}X") == 403
    assert status("s3", key) == 403


@pytest.mark.parametrize(
    ("service", "operation", "given"),
    [
        ("rekognition", "detect_labels", {"Image": {"Bytes": b"photo"}}),
        ("bedrock-runtime", "invoke_model", {"modelId": "m", "body": b"{}"}),
        ("codebuild", "start_build", {"projectName": "images"}),
        ("stepfunctions", "start_execution", {"stateMachineArn": "arn:aws:states:::m"}),
        ("config", "list_discovered_resources", {"resourceType": "AWS::SageMaker::Model"}),
        ("events", "put_rule", {"Name": "r", "EventPattern": '{"source": ["aws.sagemaker"]}'}),
        ("logs", "start_query", {"startTime": 0, "endTime": 1, "queryString": "fields @message"}),
        ("logs", "filter_log_events", {"logGroupName": "g", "filterPattern": '"a" -"b"'}),
        ("service-quotas", "list_service_quotas", {"ServiceCode": "sagemaker"}),
        ("pricing", "describe_services", {"ServiceCode": "AmazonSageMaker"}),
        ("cloudtrail", "lookup_events", {}),
        ("application-autoscaling", "describe_scaling_activities", {"ServiceNamespace": "ecs"}),
    ],
)
def test_what_moto_only_pretends_is_refused_by_name(
    emulator: Emulator, service: str, operation: str, given: dict[str, object]
) -> None:
    client = emulator.client(service)
    for _ in range(2):  # the connection is still good after the first answer
        code, message = refused(getattr(client, operation), **given)
        assert code == "UnknownOperationException"
        assert "not emulated" in message or "does not know SageMaker's resources" in message


def test_schedules_that_would_never_fire_are_refused(emulator: Emulator) -> None:
    create = emulator.client("scheduler").create_schedule
    start = "arn:aws:scheduler:::aws-sdk:sagemaker"
    for expression, operation, reason in (
        ("rate(1 day)", "deleteEndpoint", "use at(…)"),
        ("at(2099-01-01T00:00:00)", "createTrainingJob", "SageMaker's resources"),
    ):
        target = {"Arn": f"{start}:{operation}", "RoleArn": ROLE, "Input": "{}"}
        code, message = refused(
            create,
            Name="never",
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=target,
        )
        assert code == "UnknownOperationException"
        assert reason in message


def test_filters_that_moto_understands_work(emulator: Emulator) -> None:
    logs = emulator.client("logs")
    logs.create_log_group(logGroupName="mine")
    logs.create_log_stream(logGroupName="mine", logStreamName="s")
    lines = ("loss=1 at step 2", "nothing")
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines]
    logs.put_log_events(logGroupName="mine", logStreamName="s", logEvents=events)
    for pattern, found in (("step loss", 1), ('"at step"', 1), ('"at loss"', 0), ("", 2)):
        answer = logs.filter_log_events(logGroupName="mine", filterPattern=pattern)
        assert len(answer["events"]) == found, pattern


def test_a_filter_sees_the_streams_that_it_names_only(emulator: Emulator) -> None:
    logs = emulator.client("logs")
    logs.create_log_group(logGroupName="jobs")
    for name in ("dogs/algo-1", "dogs/algo-2", "dogs-2/algo-1"):
        logs.create_log_stream(logGroupName="jobs", logStreamName=name)
        event = {"timestamp": int(time.time() * 1000), "message": name}
        logs.put_log_events(logGroupName="jobs", logStreamName=name, logEvents=[event])
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:jobs"
    for group in ({"logGroupName": "jobs"}, {"logGroupIdentifier": arn}):
        for streams, found in (
            ({"logStreamNamePrefix": "dogs/"}, {"dogs/algo-1", "dogs/algo-2"}),
            ({"logStreamNamePrefix": "cats/"}, set()),
            ({"logStreamNames": ["dogs-2/algo-1"]}, {"dogs-2/algo-1"}),
            ({}, {"dogs/algo-1", "dogs/algo-2", "dogs-2/algo-1"}),
        ):
            given = {**group, **streams, "PaginationConfig": {"PageSize": 1}}
            pages = logs.get_paginator("filter_log_events").paginate(**given)
            events = [event["message"] for page in pages for event in page["events"]]
            assert set(events) == found, given
            assert len(events) == len(found)
    later = int(time.time() * 1000) + 1000
    for name, moment in (("dogs/algo-2", later), ("dogs/algo-1", later + 1)):
        event = {"timestamp": moment, "message": f"{name} again"}
        logs.put_log_events(logGroupName="jobs", logStreamName=name, logEvents=[event])
    answer = logs.filter_log_events(logGroupName="jobs", startTime=later)
    messages = [event["message"] for event in answer["events"]]
    assert messages == ["dogs/algo-2 again", "dogs/algo-1 again"]  # by time, not by stream
    both = {"logStreamNamePrefix": "dogs", "logStreamNames": ["dogs/algo-1"]}
    code, _ = refused(logs.filter_log_events, logGroupName="jobs", **both)
    assert code == "InvalidParameterException"
    missing = {"logGroupName": "none", "logStreamNamePrefix": "dogs"}
    assert refused(logs.filter_log_events, **missing)[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("region", "partition"),
    [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eusc-de-east-1", "aws-eusc")],
)
def test_arns_are_of_the_regions_partition(emulator: Emulator, region: str, partition: str) -> None:
    client = emulator.client("sagemaker", region)
    made = client.create_model(
        ModelName="parted", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "server:1"}
    )
    assert made["ModelArn"] == f"arn:{partition}:sagemaker:{region}:123456789012:model/parted"


def test_every_answer_has_an_id(emulator: Emulator) -> None:
    """Clients log it: without one, their access to the answer's metadata fails."""
    calls: list[Callable[[], Any]] = [
        emulator.sagemaker.list_models,
        lambda: emulator.s3.put_object(Bucket=BUCKET, Key="named", Body=b"x"),
        lambda: emulator.s3.get_bucket_location(Bucket=BUCKET),
        emulator.client("logs").describe_log_groups,
    ]
    ids = [call()["ResponseMetadata"]["RequestId"] for call in calls for _ in range(2)]
    errors: list[Callable[[], Any]] = [
        lambda: emulator.sagemaker.describe_model(ModelName="none"),
        lambda: emulator.client("sagemaker-runtime").invoke_endpoint(EndpointName="x", Body=b""),
        emulator.client("athena").list_work_groups,
    ]
    for call in errors:
        with pytest.raises(ClientError) as caught:
            call()
        ids.append(caught.value.response["ResponseMetadata"]["RequestId"])
    assert len(set(ids)) == len(ids)


def test_requests_at_once_lose_nothing(emulator: Emulator) -> None:
    create_model(emulator, "crowded")
    arn = emulator.sagemaker.describe_model(ModelName="crowded")["ModelArn"]
    keys = [f"{number:02}" for number in range(40)]

    def add(key: str) -> None:
        emulator.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": ""}])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, keys))
    tags = emulator.sagemaker.list_tags(ResourceArn=arn)["Tags"]
    assert sorted(tag["Key"] for tag in tags) == keys


def test_temporary_credentials_open_what_the_callers_key_opens(emulator: Emulator) -> None:
    sts = emulator.client("sts")
    for answer in (
        sts.assume_role(RoleArn=ROLE, RoleSessionName="someone"),
        sts.get_session_token(),
        sts.get_federation_token(Name="someone"),
    ):
        given = answer["Credentials"]
        assert given["AccessKeyId"] == KEY  # no key of its own, and no more rights
        for service in ("s3", "sagemaker", "iam"):
            client = boto3.client(
                service,
                endpoint_url=emulator.url,
                region_name="us-east-1",
                aws_access_key_id=given["AccessKeyId"],
                aws_secret_access_key=given["SecretAccessKey"],
                aws_session_token=given["SessionToken"],
            )
            call = {"s3": "list_buckets", "sagemaker": "list_models", "iam": "list_roles"}[service]
            assert getattr(client, call)()["ResponseMetadata"]["HTTPStatusCode"] == 200
            client.close()
    assert sts.get_caller_identity()["Account"] == "123456789012"


def test_tokens_of_ecr_last_twelve_hours(emulator: Emulator) -> None:
    (given,) = emulator.client("ecr").get_authorization_token()["authorizationData"]
    left = given["expiresAt"].timestamp() - time.time()
    assert 11 * 3600 < left <= 12 * 3600


def test_a_missing_log_stream_is_not_a_missing_group(emulator: Emulator) -> None:
    logs = emulator.client("logs")
    group = {"logGroupName": "/streams/missing"}
    read = {**group, "logStreamName": "none"}
    code, message = refused(logs.get_log_events, **read)
    assert (code, message) == (
        "ResourceNotFoundException", "The specified log group does not exist."
    )  # fmt: skip
    logs.create_log_group(**group)
    for call in (logs.get_log_events, logs.delete_log_stream):
        code, message = refused(call, **read)
        assert (code, message) == (
            "ResourceNotFoundException", "The specified log stream does not exist."
        )  # fmt: skip
    logs.create_log_stream(**read)
    assert logs.get_log_events(**read)["events"] == []
    code, message = refused(logs.create_log_stream, **read)
    assert (code, message) == (
        "ResourceAlreadyExistsException", "The specified log stream already exists"
    )  # fmt: skip

"""What is not emulated says so, where moto would answer untruly; a reset resets everything."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from emulator.api.door import refusal
from emulator.keys import JobKeys
from tests.emulator.client import BUCKET, IMAGES, Emulator, refused, signed, upload_photos
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

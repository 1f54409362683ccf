"""The role's rights: what jobs and endpoints of one experiment do, and nothing else.

Source: "SageMaker AI roles" in the SageMaker guide, which lists the rights of CreateTrainingJob,
CreateHyperParameterTuningJob, CreateModel and CreateEndpoint.
"""

from collections.abc import Iterator
from typing import Any

from scripts.spec import Experiment
from scripts.spec.endpoint import Asynchronous
from scripts.stack import addresses
from scripts.stack.addresses import Folder, Place

Document = dict[str, Any]
_NETWORK = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


def trust(service: str = "sagemaker.amazonaws.com") -> Document:
    """Return the trust policy with which a service can take on the role."""
    return _document([_allow("sts:AssumeRole", Principal={"Service": service})])


def policy(experiment: Experiment, place: Place) -> Document:
    """Return the role's policy: S3 folders, repositories, logs, metrics, key and network."""
    return _document(list(_statements(experiment, place)))


def scheduler_policy(experiment: Experiment, place: Place) -> Document:
    """Return the policy of the role that deletes the endpoint at the end of ttl_hours."""
    arn = place.arn("sagemaker", f"endpoint/{experiment.name.lower()}")
    return _document([_allow("sagemaker:DeleteEndpoint", arn)])


def github_trust(provider: str, repository: str) -> Document:
    """Return the trust policy for workflows of one GitHub repository.

    Args:
        provider: the ARN of the account's OIDC provider for GitHub.
        repository: `owner/name`.
    """
    issuer = "token.actions.githubusercontent.com"
    condition = {
        "StringEquals": {f"{issuer}:aud": "sts.amazonaws.com"},
        "StringLike": {f"{issuer}:sub": f"repo:{repository}:*"},
    }
    statement = _allow(
        "sts:AssumeRoleWithWebIdentity", Principal={"Federated": provider}, Condition=condition
    )
    return _document([statement])


def github_policy(experiment: Experiment, place: Place) -> Document:
    """Return the policy of the workflow: push images, upload photos, run jobs, deploy."""
    jobs = ("training-job", "hyper-parameter-tuning-job", "transform-job", "model", "endpoint")
    named = [place.arn("sagemaker", f"{kind}/{experiment.name.lower()}*") for kind in jobs]
    named.append(place.arn("sagemaker", f"endpoint-config/{experiment.name.lower()}*"))
    repositories = [
        place.arn("ecr", f"repository/{name}") for name in addresses.repositories(experiment, place)
    ]
    statements = [
        _allow("ecr:GetAuthorizationToken", "*"),
        _allow(["ecr:*Image", "ecr:*Layer*", "ecr:Describe*", "ecr:BatchGetImage"], repositories),
        _allow(["sagemaker:Create*", "sagemaker:Describe*", "sagemaker:Delete*", "sagemaker:Stop*",
                "sagemaker:Update*", "sagemaker:AddTags", "sagemaker:InvokeEndpoint*"], named),
        _allow(["sagemaker:List*", "servicequotas:ListServiceQuotas"], "*"),
        _allow("iam:GetRole", experiment.role),
        _allow(
            "iam:PassRole",
            experiment.role,
            Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        _allow(["logs:DescribeLogStreams", "logs:GetLogEvents"], _logs(place)),
        *_folders(addresses.read(experiment), addresses.read(experiment), place),
    ]  # fmt: skip
    return _document(statements)


def _statements(experiment: Experiment, place: Place) -> Iterator[Document]:
    yield from _folders(addresses.read(experiment), addresses.written(experiment), place)
    yield _allow("ecr:GetAuthorizationToken", "*")
    own = [
        place.arn("ecr", f"repository/{name}") for name in addresses.repositories(experiment, place)
    ]
    yield _allow(
        ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        own + addresses.foreign_repositories(experiment, place),
    )
    yield _allow(
        [
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:DescribeLogStreams",
            "logs:PutLogEvents",
        ],
        _logs(place),
    )
    yield _allow("cloudwatch:PutMetricData", "*")  # CloudWatch has no ARNs for it
    if experiment.kms_key:
        yield _key(experiment.kms_key, place)
    if experiment.vpc:
        yield _allow(list(_NETWORK), "*")  # the interfaces do not exist yet
    endpoint = experiment.endpoint
    if isinstance(endpoint, Asynchronous):
        topics = [one for one in (endpoint.success_topic, endpoint.error_topic) if one]
        if topics:
            yield _allow("sns:Publish", topics)


def _folders(read: list[Folder], written: list[Folder], place: Place) -> Iterator[Document]:
    buckets = sorted({folder.bucket for folder in (*read, *written)})
    bucket_arn = f"arn:{place.partition}:s3:::"
    yield _allow("s3:GetBucketLocation", [bucket_arn + bucket for bucket in buckets])
    for bucket in buckets:
        prefixes = sorted({one.prefix for one in (*read, *written) if one.bucket == bucket})
        listed = [pattern for prefix in prefixes for pattern in _below(prefix)]
        condition = {} if "" in prefixes else {"StringLike": {"s3:prefix": listed}}
        yield _allow("s3:ListBucket", bucket_arn + bucket, Condition=condition)
    yield _allow("s3:GetObject", [f"{bucket_arn}{path}" for path in _objects(read)])
    yield _allow(
        ["s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"],
        [f"{bucket_arn}{path}" for path in _objects(written)],
    )


def _below(prefix: str) -> list[str]:
    """The values of ListObjects' prefix: the folder itself, and everything in it."""
    return [prefix, f"{prefix}/*"]


def _objects(folders: list[Folder]) -> list[str]:
    """The folder and everything in it: a channel or a model can also be one object."""
    found: list[str] = []
    for one in folders:
        path = f"{one.bucket}/{one.prefix}".rstrip("/")
        found += [path, f"{path}/*"] if one.prefix else [f"{path}/*"]
    return sorted(set(found))


def _key(key: str, place: Place) -> Document:
    actions = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt",
               "kms:GenerateDataKey*"]  # fmt: skip
    alias = key if key.startswith("alias/") else key.partition(":alias/")[2] and key
    if alias:
        name = "alias/" + key.rpartition("alias/")[2]
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": name}}
        return _allow(actions, place.arn("kms", "key/*"), Condition=condition)
    return _allow(actions, key if key.startswith("arn:") else place.arn("kms", f"key/{key}"))


def _logs(place: Place) -> list[str]:
    return [place.arn("logs", "log-group:/aws/sagemaker/*")]


def _allow(
    actions: str | list[str], resources: str | list[str] | None = None, **more: Any
) -> Document:
    """One statement; empty conditions are left out."""
    found = {"Effect": "Allow", "Action": actions, **{k: v for k, v in more.items() if v}}
    return found if resources is None else found | {"Resource": resources}


def _document(statements: list[Document]) -> Document:
    return {"Version": "2012-10-17", "Statement": statements}

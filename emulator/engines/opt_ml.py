"""What SageMaker lays out for a training container: /opt/ml and its config files.

Files and fields as in "How Amazon SageMaker Provides Training Information".
"""

import json
from collections.abc import Mapping
from pathlib import Path

from emulator.contract import Record
from emulator.engines.container import Network
from emulator.errors import JobError
from emulator.store.objects import Location, Objects

GROUP = "homogeneousCluster"
CHECKPOINTS = "/opt/ml/checkpoints"
TENSORS = "/opt/ml/output/tensors"
PROFILE = "/opt/ml/output/profiler"


def make_folders(root: Path) -> None:
    """Make the folders that a container finds."""
    for folder in ("input/config", "input/data", "model", "output/data"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def write_config(
    root: Path, job: Record, network: Network, host: str, seen: Mapping[str, str]
) -> None:
    """Write input/config for one host.

    Args:
        root: the host's /opt/ml.
        job: the request, as CreateTrainingJob took it.
        network: of the job's hosts.
        host: this one.
        seen: paths as SageMaker has them -> as the container sees them.
    """
    files: dict[str, object] = {
        "hyperparameters": job.get("HyperParameters", {}),
        "inputdataconfig": {
            channel["ChannelName"]: _channel(job, channel)
            for channel in job.get("InputDataConfig", [])
        },
        "resourceconfig": _resources(job["ResourceConfig"], network, host),
    }
    if "CheckpointConfig" in job:
        local = job["CheckpointConfig"].get("LocalPath", CHECKPOINTS)
        files["checkpointconfig"] = job["CheckpointConfig"] | {"LocalPath": seen[local]}
    if "DebugHookConfig" in job:
        local = job["DebugHookConfig"].get("LocalPath", TENSORS)
        files["debughookconfig"] = job["DebugHookConfig"] | {"LocalPath": seen[local]}
    if "S3OutputPath" in job.get("ProfilerConfig", {}):
        files["profilerconfig"] = job["ProfilerConfig"] | {"LocalPath": seen[PROFILE]}
    for name, contents in files.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(contents))


def environment(job: Record, region: str) -> dict[str, str]:
    """Return a training container's variables; the job's own win."""
    ours: dict[str, str] = {
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
        "AWS_REGION": region,
    }
    ours.update(job.get("Environment", {}))
    return ours


def download(objects: Objects, channel: Record, target: Path, host: int, hosts: int) -> None:
    """Bring a channel's objects to a folder, the host's share if they are sharded.

    Raises:
        JobError: nothing there, or a kind of source that is not emulated.
    """
    source = channel["DataSource"]["S3DataSource"]
    prefix = Location.parse(source["S3Uri"])
    found = objects.find(prefix)
    if not found:
        raise JobError(
            f'ClientError: Data download failed: No S3 objects found under S3 URL "{prefix}" '
            "given in input data source. Please ensure that the bucket exists, that objects exist "
            'under that S3 prefix, and that the role has "s3:ListBucket" permissions on it'
        )
    if source.get("S3DataDistributionType") == "ShardedByS3Key":
        found = found[host::hosts]
    for place in found:
        rest = place.key.removeprefix(prefix.key).lstrip("/")
        file = (target / (rest or Path(place.key).name)).resolve()
        if not file.is_relative_to(target.resolve()):
            raise JobError(f"ClientError: the key of {place} leads out of the channel")
        objects.fetch(place, file)


def _channel(job: Record, channel: Record) -> Record:
    source = channel["DataSource"]["S3DataSource"]
    mode = channel.get("InputMode") or job["AlgorithmSpecification"]["TrainingInputMode"]
    said = {
        "TrainingInputMode": mode,
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return said | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})


def _resources(resources: Record, network: Network, host: str) -> Record:
    instance = resources["InstanceType"]
    hosts = list(network.hosts)
    group = {"instance_group_name": GROUP, "instance_type": instance, "hosts": hosts}
    return {
        "current_host": host,
        "current_instance_type": instance,
        "current_group_name": GROUP,
        "hosts": hosts,
        "instance_groups": [group],
        "network_interface_name": network.interface,
    }

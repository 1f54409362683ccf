"""The /opt/ml of a training container: folders, config files, channels.

Files and fields as in "How Amazon SageMaker Provides Training Information".
"""

import json
import random
from collections.abc import Mapping
from pathlib import Path

from emulator.contract import Record
from emulator.engines import manifests
from emulator.engines.container import OPT_ML, Network
from emulator.store.objects import Objects
from emulator.store.paths import below

GROUP = "homogeneousCluster"
CHECKPOINTS = "/opt/ml/checkpoints"
TENSORS = "/opt/ml/output/tensors"
PROFILE = "/opt/ml/output/profiler"
TENSORBOARD = "/opt/ml/output/tensorboard"


def make_folders(root: Path) -> None:
    """Make the folders that SageMaker makes."""
    for folder in ("input/config", "input/data", "model", "output/data"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def write_config(
    root: Path, job: Record, network: Network, host: str, paths: Mapping[str, str]
) -> None:
    """Write input/config for one host.

    Args:
        root: the host's /opt/ml.
        job: the job's record.
        network: of the job's hosts.
        host: this host's name.
        paths: SageMaker's path -> the path in this container.
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
        files["checkpointconfig"] = job["CheckpointConfig"] | {"LocalPath": paths[local]}
    if "DebugHookConfig" in job:
        local = job["DebugHookConfig"].get("LocalPath", TENSORS)
        files["debughookconfig"] = job["DebugHookConfig"] | {"LocalPath": paths[local]}
    if "S3OutputPath" in job.get("ProfilerConfig", {}):
        files["profilerconfig"] = job["ProfilerConfig"] | {"LocalPath": paths[PROFILE]}
    if "TensorBoardOutputConfig" in job:
        local = job["TensorBoardOutputConfig"].get("LocalPath", TENSORBOARD)
        config = job["TensorBoardOutputConfig"] | {"LocalPath": paths[local]}
        files["tensorboardoutputconfig"] = config
    for name, contents in files.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(contents))


def environment(job: Record, region: str) -> dict[str, str]:
    """Return a training container's environment; the job's own variables override ours."""
    return {
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
        "AWS_REGION": region,
        **job.get("Environment", {}),
    }


def synced_folders(job: Record) -> list[tuple[str, str]]:
    """Return the folders that go to S3 while a job runs: path in the container, S3 URI."""
    folders: list[tuple[str, str]] = []
    name = job["TrainingJobName"]
    if "CheckpointConfig" in job:
        config = job["CheckpointConfig"]
        folders.append((config.get("LocalPath", CHECKPOINTS), config["S3Uri"]))
    if "DebugHookConfig" in job:
        config = job["DebugHookConfig"]
        output = f"{config['S3OutputPath'].rstrip('/')}/{name}/debug-output"
        folders.append((config.get("LocalPath", TENSORS), output))
    if "TensorBoardOutputConfig" in job:
        config = job["TensorBoardOutputConfig"]
        output = f"{config['S3OutputPath'].rstrip('/')}/{name}/tensorboard-output"
        folders.append((config.get("LocalPath", TENSORBOARD), output))
    if "S3OutputPath" in job.get("ProfilerConfig", {}):
        output = f"{job['ProfilerConfig']['S3OutputPath'].rstrip('/')}/{name}"
        folders.append((PROFILE, f"{output}/profiler-output"))
    return folders


def host_path(root: Path, path: str) -> Path:
    """Return where a container's path below /opt/ml is on this machine.

    Raises:
        JobError: it is outside of /opt/ml.
    """
    return below(root, path.removeprefix(OPT_ML).lstrip("/"))


def download(objects: Objects, channel: Record, target: Path, host: int, hosts: int) -> None:
    """Download a channel's objects to a folder; if they are sharded, this host's shard.

    Raises:
        JobError: there are no objects, or a key leads out of the folder, or the manifest is wrong.
    """
    source = channel["DataSource"]["S3DataSource"]
    found = manifests.objects_of(objects, source)
    if "ShuffleConfig" in channel:  # before the objects are dealt to the hosts
        random.Random(channel["ShuffleConfig"]["Seed"]).shuffle(found)  # noqa: S311
    if source.get("S3DataDistributionType") == "ShardedByS3Key":
        found = found[host::hosts]
    for place, name in found:
        objects.fetch(place, below(target, name))


def _channel(job: Record, channel: Record) -> Record:
    source = channel["DataSource"]["S3DataSource"]
    mode = channel.get("InputMode") or job["AlgorithmSpecification"]["TrainingInputMode"]
    config = {
        "TrainingInputMode": mode,
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return config | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})


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

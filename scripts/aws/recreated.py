"""An experiment from a job that ran: the TOML that repeats it, from SageMaker's description.

`kennel writeup` prints it; where the description lacks something, a remark says what.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from scripts import spec
from scripts.requests.secrets import MASK, masked
from scripts.spec.section import Scalar

# What names.stamped adds to an experiment's name; and the number of a trial after it.
_STAMP = re.compile(r"-\d{6}-\d{6}(-\d{3})?(-\d{3}-[0-9a-f]{8})?$")
_NAME_LENGTH = 40
_STRATEGIES = {"Grid": "grid", "Random": "random", "Bayesian": "bayesian", "Hyperband": "hyperband"}
_SCALES = {"Logarithmic": "log", "Linear": "linear", "ReverseLogarithmic": "reverse-log"}
# SageMaker's own entries among the hyperparameters; a script's name is the user's.
_INTERNAL = re.compile(r"_tuning_|sagemaker_(?!program$|submit_directory$)")


def hyperparameters(given: Mapping[str, str]) -> dict[str, Scalar]:
    """Return a job's hyperparameters as an experiment has them: numbers as numbers, no secrets."""
    found = {name: _value(text) for name, text in given.items() if not _INTERNAL.match(name)}
    return {name: masked(value, name) for name, value in found.items()}


def experiment(
    training: Mapping[str, Any], tuning: Mapping[str, Any] | None, region: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the content of an experiment's TOML file, and what must be looked at.

    Args:
        training: the answer of DescribeTrainingJob.
        tuning: the answer of DescribeHyperParameterTuningJob, if it is a trial.
        region: where it ran.
    """
    name = (tuning or training)["HyperParameterTuningJobName" if tuning else "TrainingJobName"]
    remarks: list[str] = []
    image = training.get("AlgorithmSpecification", {}).get("TrainingImage", "")
    serving = image.replace("kennel-train", "kennel-serve")
    if serving == image:
        remarks.append("images.serve is that of the training: a job does not name another one.")
    given = hyperparameters(training.get("HyperParameters", {}))
    content: dict[str, Any] = {
        "name": _STAMP.sub("", name)[:_NAME_LENGTH].rstrip("-"),
        "region": region,
        "role": training.get("RoleArn", ""),
        "output": training.get("OutputDataConfig", {}).get("S3OutputPath", ""),
    }
    if key := training.get("OutputDataConfig", {}).get("KmsKeyId"):
        content["kms_key"] = key
    if vpc := training.get("VpcConfig"):
        content["vpc"] = {"subnets": vpc["Subnets"], "security_groups": vpc["SecurityGroupIds"]}
    content["images"] = {"train": image, "serve": serving}
    content["data"] = _channels(training.get("InputDataConfig", []))
    content["training"] = _machines(training)
    if tuning:
        content["tuning"] = ranges = _tuning(tuning["HyperParameterTuningJobConfig"])
        given = {key: value for key, value in given.items() if key not in ranges["ranges"]}
    elif grid := _swept(given):
        content["tuning"] = {"strategy": "sweep", "ranges": grid}
        given = {key: value for key, value in given.items() if key != "sweep"}
    content["hyperparameters"] = given
    if MASK in json.dumps(content):
        remarks.append(f"Secrets are shown as {MASK}: put them back in.")
    try:
        spec.check(content, "it")
    except spec.SpecError as error:
        remarks.append(f"It is not complete: {error}")
    return content, remarks


def to_toml(content: Mapping[str, Any]) -> str:
    """Return TOML: keys of the top first, then each table."""
    lines = [_line(key, value) for key, value in content.items() if not isinstance(value, dict)]
    for name, table in content.items():
        if isinstance(table, dict):
            lines += ["", f"[{_key(name)}]", *(_line(key, value) for key, value in table.items())]
    return "\n".join(lines).lstrip() + "\n"


def _line(key: str, value: object) -> str:
    return f"{_key(key)} = {_text(value)}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: object) -> str:
    """Return a value as TOML has it; JSON's strings and numbers are TOML's too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(_line(key, one) for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(text: str) -> Scalar:
    """Return a hyperparameter as a scalar: the SDKs write JSON, some write plain words."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _swept(given: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return the lists of a sweep; nothing if it is not one."""
    try:
        lists = json.loads(str(given.get("sweep", "{}")))
    except (ValueError, RecursionError):
        return {}
    return lists if isinstance(lists, dict) else {}


def _channels(given: list[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in given:
        source = one.get("DataSource", {}).get("S3DataSource", {})
        more = {
            "type": source.get("S3DataType", "S3Prefix"),
            "mode": one.get("InputMode", "File"),
            "distribution": source.get("S3DataDistributionType", "FullyReplicated"),
        }
        usual = {"type": "S3Prefix", "mode": "File", "distribution": "FullyReplicated"}
        unusual = {key: value for key, value in more.items() if value != usual[key]}
        uri = source.get("S3Uri", "")
        found[one["ChannelName"]] = {"uri": uri, **unusual} if unusual else uri
    return found


def _machines(training: Mapping[str, Any]) -> dict[str, Any]:
    resources, limits = training.get("ResourceConfig", {}), training.get("StoppingCondition", {})
    found = {
        "instance_type": resources.get("InstanceType", ""),
        "instance_count": resources.get("InstanceCount", 1),
        "volume_gb": resources.get("VolumeSizeInGB"),
        "max_run_seconds": limits.get("MaxRuntimeInSeconds"),
        "spot": training.get("EnableManagedSpotTraining") or None,
        "max_wait_seconds": limits.get("MaxWaitTimeInSeconds"),
        "checkpoints": training.get("CheckpointConfig", {}).get("S3Uri"),
        "keep_alive_seconds": resources.get("KeepAlivePeriodInSeconds"),
        "network_isolation": training.get("EnableNetworkIsolation") or None,
        "encrypt_between_hosts": training.get("EnableInterContainerTrafficEncryption") or None,
        "retries": training.get("RetryStrategy", {}).get("MaximumRetryAttempts"),
        "environment": masked(dict(training.get("Environment", {}))) or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _tuning(config: Mapping[str, Any]) -> dict[str, Any]:
    limits = config.get("ResourceLimits", {})
    strategy = _STRATEGIES.get(config["Strategy"], config["Strategy"])
    found: dict[str, Any] = {"strategy": strategy}
    if strategy != "grid":
        found["max_jobs"] = limits.get("MaxNumberOfTrainingJobs")
    found["parallel"] = limits.get("MaxParallelTrainingJobs", 1)
    if objective := config.get("HyperParameterTuningJobObjective", {}).get("MetricName"):
        found["objective"] = objective
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        found["early_stopping"] = True
    if band := config.get("StrategyConfig", {}).get("HyperbandStrategyConfig"):
        found["hyperband"] = {
            "min_epochs": band.get("MinResource"),
            "max_epochs": band.get("MaxResource"),
        }
    if "RandomSeed" in config:
        found["seed"] = config["RandomSeed"]
    found["ranges"] = _ranges(config.get("ParameterRanges", {}))
    return {key: value for key, value in found.items() if value is not None}


def _ranges(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in given.get("CategoricalParameterRanges", []):
        found[one["Name"]] = [_value(value) for value in one["Values"]]
    for kind in ("Integer", "Continuous"):
        for one in given.get(f"{kind}ParameterRanges", []):
            ends = {"min": _value(one["MinValue"]), "max": _value(one["MaxValue"])}
            scale = _SCALES.get(one.get("ScalingType", ""))
            found[one["Name"]] = ends | ({"scale": scale} if scale else {})
    return found

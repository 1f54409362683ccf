"""Experiments for the tests: the smallest, and one that uses every key of every section."""

import copy
from typing import Any

REGISTRY = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"

SMALLEST: dict[str, Any] = {
    "name": "pets",
    "role": "arn:aws:iam::111122223333:role/kennel",
    "output": "s3://a-bucket/pets",
    "images": {
        "train": f"{REGISTRY}/kennel-train:1.0",
        "serve": f"{REGISTRY}/kennel-serve@sha256:{'0' * 64}",
    },
    "data": {"train": "s3://a-bucket/photos"},
    "training": {"instance_type": "ml.m5.xlarge"},
}

_TRAINING: dict[str, Any] = {
    "instance_type": "ml.m5.xlarge",
    "instance_count": 2,
    "volume_gb": 80,
    "max_run_seconds": 3600,
    "spot": True,
    "max_wait_seconds": 7200,
    "checkpoints": "s3://a-bucket/checkpoints",
    "network_isolation": True,
    "encrypt_between_hosts": True,
    "retries": 3,
    "environment": {"LOG_LEVEL": "debug"},
}

_TUNING: dict[str, Any] = {
    "strategy": "bayesian",
    "ranges": {
        "learning_rate": {"min": 0.001, "max": 0.1, "scale": "log"},
        "epochs": {"min": 2, "max": 5},
        "batch_size": [32, 64],
        "optimizer": {"values": ["sgd", "adamw"]},
    },
    "max_jobs": 20,
    "parallel": 2,
    "objective": "validation:loss",
    "max_run_seconds": 36_000,
    "early_stopping": True,
    "target": 0.2,
    "seed": 7,
    "warm_start": {"parents": ["pets-1"], "identical": True},
}

_DEBUGGER: dict[str, Any] = {
    "enabled": True,
    "interval": 20,
    "collections": ["losses", "gradients"],
    "raw": "fc",
    "rules": {"VanishingGradient": {"action": "stop"}},
    "managed_rules": ["LossNotDecreasing", "WeightUpdateRatio", "ProfilerReport"],
}

_PROFILER: dict[str, Any] = {"enabled": True, "interval": 1.0, "steps": "5:8"}

_INSTANCES: dict[str, Any] = {
    "instance_type": "ml.g5.xlarge",
    "instance_count": 2,
    "volume_gb": 40,
    "startup_seconds": 900,
    "download_seconds": 900,
    "inference_ami": "al2-ami-sagemaker-inference-gpu-3-1",
    "autoscaling": {
        "min": 1,
        "max": 4,
        "invocations_per_instance": 600,
        "scale_in_seconds": 600,
        "scale_out_seconds": 30,
    },
    "environment": {"KENNEL_BATCH_SIZE": "16"},
    "network_isolation": True,
    "ttl_hours": 1.5,
}

ENDPOINTS: dict[str, dict[str, Any]] = {
    "realtime": {"kind": "realtime"} | _INSTANCES,
    "async": {
        "kind": "async",
        "output": "s3://a-bucket/answers",
        "failures": "s3://a-bucket/failures",
        "concurrent": 8,
        "success_topic": "arn:aws:sns:eu-west-1:111122223333:good",
        "error_topic": "arn:aws:sns:eu-west-1:111122223333:bad",
    }
    | _INSTANCES,
    "multi-model": {"kind": "multi-model", "models": "s3://a-bucket/models/", "cache": False}
    | _INSTANCES,
    "serverless": {
        "kind": "serverless",
        "memory_mb": 6144,
        "concurrency": 10,
        "provisioned": 2,
        "environment": {"KENNEL_BATCH_SIZE": "1"},
        "ttl_hours": 2.0,
        "network_isolation": False,
    },
    "transform": {
        "kind": "transform",
        "input": "s3://a-bucket/photos/test",
        "output": "s3://a-bucket/answers",
        "instance_type": "ml.m5.xlarge",
        "instance_count": 2,
        "content_type": "image/jpeg",
        "accept": "application/json",
        "concurrent": 8,
        "max_payload_mb": 10,
        "timeout_seconds": 30,
        "environment": {"KENNEL_BATCH_SIZE": "4"},
        "network_isolation": True,
    },
}


def smallest(**changes: Any) -> dict[str, Any]:
    """Only the required keys, and `changes`."""
    return copy.deepcopy(SMALLEST) | changes


def training(**changes: Any) -> dict[str, Any]:
    """Every key of [training] that does not conflict with another, and `changes`."""
    return copy.deepcopy(_TRAINING) | changes


def tuning(**changes: Any) -> dict[str, Any]:
    """Every key of [tuning] that does not conflict with another, and `changes`."""
    return copy.deepcopy(_TUNING) | changes


def debugger(**changes: Any) -> dict[str, Any]:
    """Every key of [debugger], and `changes`."""
    return copy.deepcopy(_DEBUGGER) | changes


def fullest(kind: str = "realtime", **changes: Any) -> dict[str, Any]:
    """Every key of every section, with the endpoint of `kind`, and `changes`."""
    full = smallest(
        region="eu-west-1",
        kms_key="arn:aws:kms:eu-west-1:111122223333:key/1234abcd",
        tags={"team": "vision"},
        vpc={"subnets": ["subnet-1", "subnet-2"], "security_groups": ["sg-1"]},
        data={
            "train": "s3://a-bucket/photos/train",
            "valid": {"uri": "s3://a-bucket/photos/valid", "mode": "FastFile"},
            "pretrained": {
                "uri": "s3://a-bucket/weights",
                "mode": "File",
                "distribution": "FullyReplicated",
            },
        },
        hyperparameters={"lr": 0.01, "horizontal_flip": False, "architecture": "resnet18"},
        training=training(),
        tuning=tuning(),
        debugger=debugger(),
        profiler=copy.deepcopy(_PROFILER),
        endpoint=copy.deepcopy(ENDPOINTS[kind]),
    )
    full["images"]["serve_cpu"] = f"{REGISTRY}/kennel-serve-cpu:1.0"
    if kind == "serverless":
        del full["vpc"]
    return full | changes

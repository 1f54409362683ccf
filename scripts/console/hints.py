"""What to do about a failed job: known causes, by what its reason and last log lines say."""

import re

# The first that matches is told. The image's own errors come first: they name the cause exactly.
_CAUSES = (
    (r"ConfigError:", "check the spec's [hyperparameters]: `kennel hyperparameters` lists them"),
    (r"DataError:", "check the photos before the next job: `kennel data check DIR`"),
    (
        r"WeightsError:",
        "give the job the pretrained weights: a channel `pretrained` under [data], "
        'or hyperparameters.weights = "none"',
    ),
    (r"CUDA out of memory|OutOfMemoryError.*CUDA", "lower batch_size, or take a larger GPU"),
    (
        r"SIGKILL|exit code: ?(-9|137)|out of memory|OutOfMemory",
        "the host most likely ran out of memory: lower batch_size or workers, or take more memory",
    ),
    (r"[Bb]us error", "shared memory ran out: lower hyperparameters.workers"),
    (
        r"NVIDIA driver|CUDA driver|driver version is insufficient",
        "the host's driver is older than the image's CUDA: take a newer instance type",
    ),
    (
        r"CapacityError|InsufficientInstanceCapacity|capacity",
        "AWS has no such instance free: try again, another instance_type, or another region",
    ),
    (r"MaxRuntimeExceeded|MaxRuntimeInSeconds", "raise training.max_run_seconds"),
    (r"MaxWaitTimeExceeded", "raise training.max_wait_seconds, or go without spot"),
    (
        r"AccessDenied|[Aa]ccess denied|not authorized|403",
        "the role lacks a right on the bucket, key or repository: `kennel doctor`",
    ),
    (
        r"No S3 objects found|NoSuchBucket|NoSuchKey|Data download failed",
        "nothing lies under that [data] address: `kennel data upload DIR s3://…` first",
    ),
    (
        r"[Ii]mage .*(not found|does not exist)|CannotPullContainer|manifest unknown",
        "the image is not in ECR under that name: `kennel push`, and check [images]",
    ),
    (
        r"ping health check",
        "the server never became healthy: `kennel logs ENDPOINT --endpoint` has its last line",
    ),
    (r"exec.*permission denied", "the image's entry is not executable: build it anew"),
)


def hint(reason: str, log: str = "") -> str | None:
    """The advice for a failure, from its reason first and its last log lines second."""
    for text in (reason, log):
        for pattern, advice in _CAUSES:
            if re.search(pattern, text):
                return advice
    return None

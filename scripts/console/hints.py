"""What to do about a failed job: known causes, found in its failure reason and last log lines."""

import re

# The first match wins. The image's own errors come first: they name the exact cause.
_CAUSES = (
    (r"ConfigError:", "check the spec's [hyperparameters]: `kennel hyperparameters` lists them"),
    (r"DataError:", "check the photos before the next job: `kennel data check DIR`"),
    (
        r"WeightsError:",
        "give the job the pretrained weights: a channel `pretrained` under [data], "
        'or hyperparameters.weights = "none"',
    ),
    (r"CUDA out of memory|OutOfMemoryError.*CUDA", "lower batch_size, or use a larger GPU"),
    (
        r"SIGKILL|exit code: ?(-9|137)|out of memory|OutOfMemory",
        "the host probably ran out of memory: lower batch_size or workers, or take a larger host",
    ),
    (r"[Bb]us error", "shared memory ran out: lower hyperparameters.workers"),
    (
        r"NVIDIA driver|CUDA driver|driver version is insufficient",
        "the host's driver is too old for the image's CUDA: use a newer instance type",
    ),
    (
        r"CapacityError|InsufficientInstanceCapacity|capacity",
        "AWS has no free instance of this type: try later, or change instance_type or region",
    ),
    (r"MaxRuntimeExceeded|MaxRuntimeInSeconds", "raise training.max_run_seconds"),
    (r"MaxWaitTimeExceeded", "raise training.max_wait_seconds, or set training.spot = false"),
    (
        r"AccessDenied|[Aa]ccess denied|not authorized|403",
        "the role lacks a permission on a bucket, key or repository: run `kennel doctor`",
    ),
    (
        r"No S3 objects found|NoSuchBucket|NoSuchKey|Data download failed",
        "there is nothing at that [data] address: run `kennel data upload DIR s3://…` first",
    ),
    (
        r"[Ii]mage .*(not found|does not exist)|CannotPullContainer|manifest unknown",
        "the image is not in ECR under that name: run `kennel push`, and check [images]",
    ),
    (
        r"ping health check",
        "the server never became healthy: `kennel logs ENDPOINT --endpoint` shows why",
    ),
    (
        r"exec.*permission denied",
        "the image's entry point is not executable: build it again",
    ),
)


def hint(reason: str, log: str = "") -> str | None:
    """Return advice for a failure: the reason is searched first, then the last log lines."""
    for text in (reason, log):
        for pattern, advice in _CAUSES:
            if re.search(pattern, text):
                return advice
    return None

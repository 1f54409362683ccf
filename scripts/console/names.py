"""Names of jobs and models: the experiment's name and the time, within SageMaker's limits."""

from datetime import UTC, datetime

from scripts.problem import Problem

# Source: CreateTrainingJob and others, CreateHyperParameterTuningJob.
MAX_LENGTH = 63
MAX_LENGTH_TUNING = 32


def stamped(name: str, now: datetime, max_length: int = MAX_LENGTH) -> str:
    """Return `name-260102-030405-678`; the name is cut to fit in `max_length` characters.

    Milliseconds, as in the SDK's names, because two jobs can start in the same second.
    """
    stamp = now.astimezone(UTC).strftime("-%y%m%d-%H%M%S-%f")[:-3]
    return name[: max_length - len(stamp)].rstrip("-") + stamp


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/key` into bucket and key.

    Raises:
        Problem: it is not an S3 address.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise Problem(f"{uri}: write it as s3://bucket/folder")
    return bucket, key

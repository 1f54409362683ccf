"""Names of jobs and models: the experiment's own and the moment, within SageMaker's limits."""

from datetime import UTC, datetime

from scripts.problem import Problem

# Source: CreateTrainingJob and others, CreateHyperParameterTuningJob.
LONGEST = 63
LONGEST_TUNING = 32


def stamped(name: str, now: datetime, longest: int = LONGEST) -> str:
    """`name-260102-030405-678`, the name shortened to fit in `longest` characters.

    To the millisecond, as the SDK's names are: two jobs may well be started in one second.
    """
    stamp = now.astimezone(UTC).strftime("-%y%m%d-%H%M%S-%f")[:-3]
    return name[: longest - len(stamp)].rstrip("-") + stamp


def bucket_and_key(uri: str) -> tuple[str, str]:
    """The parts of `s3://bucket/key`.

    Raises:
        Problem: it is no such address.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise Problem(f"{uri}: write it as s3://bucket/folder")
    return bucket, key

"""Describe, list and stop jobs, and read their logs. Pure functions."""

from typing import Any, Literal

from scripts.requests.request import Request, given

# The kinds of jobs, by the names in SageMaker's operations.
Kind = Literal["TrainingJob", "HyperParameterTuningJob", "TransformJob"]
TRAINING: Kind = "TrainingJob"
TUNING: Kind = "HyperParameterTuningJob"
TRANSFORM: Kind = "TransformJob"
KINDS = (TRAINING, TUNING, TRANSFORM)
LABELS: dict[Kind, str] = {TRAINING: "training", TUNING: "tuning", TRANSFORM: "transform"}
# A job in one of these states never changes again.
ENDED = ("Completed", "Failed", "Stopped")


def describe(kind: Kind, name: str) -> Request:
    """DescribeTrainingJob and its like."""
    return Request("sagemaker", f"Describe{kind}", {f"{kind}Name": name})


def list_jobs(kind: Kind, contains: str | None, status: str | None) -> Request:
    """ListTrainingJobs and its like, newest first."""
    parameters = {
        "NameContains": contains,
        "StatusEquals": status,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
    }
    return Request("sagemaker", f"List{kind}s", given(parameters))


def stop(kind: Kind, name: str) -> Request:
    """StopTrainingJob and its like."""
    return Request("sagemaker", f"Stop{kind}", {f"{kind}Name": name})


def trials(tuning_job: str) -> Request:
    """ListTrainingJobsForHyperParameterTuningJob, oldest first."""
    parameters = {
        "HyperParameterTuningJobName": tuning_job,
        "SortBy": "CreationTime",
        "SortOrder": "Ascending",
    }
    return Request("sagemaker", "ListTrainingJobsForHyperParameterTuningJob", parameters)


def log_streams(group: str, prefix: str) -> Request:
    """DescribeLogStreams: one stream per host; all streams of the group if the prefix is empty."""
    parameters = {"logGroupName": group, "logStreamNamePrefix": prefix or None}
    return Request("logs", "DescribeLogStreams", given(parameters))


def log_events(group: str, stream: str, token: str | None) -> Request:
    """GetLogEvents from the start, or from where `token` points."""
    parameters: dict[str, Any] = {
        "logGroupName": group,
        "logStreamName": stream,
        "startFromHead": True,
        "nextToken": token,
    }
    return Request("logs", "GetLogEvents", given(parameters))

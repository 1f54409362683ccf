"""Describe, List and Stop calls for jobs: what the verbs that only look ask AWS. Pure functions."""

from typing import Any

from scripts.requests.request import Request, given


def training_job(name: str) -> Request:
    """DescribeTrainingJob."""
    return Request("sagemaker", "DescribeTrainingJob", {"TrainingJobName": name})


def training_jobs(contains: str | None, status: str | None) -> Request:
    """ListTrainingJobs, newest first."""
    parameters = {
        "NameContains": contains,
        "StatusEquals": status,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
    }
    return Request("sagemaker", "ListTrainingJobs", given(parameters))


def tuning_job(name: str) -> Request:
    """DescribeHyperParameterTuningJob."""
    parameters = {"HyperParameterTuningJobName": name}
    return Request("sagemaker", "DescribeHyperParameterTuningJob", parameters)


def tuning_jobs(contains: str | None, status: str | None) -> Request:
    """ListHyperParameterTuningJobs, newest first."""
    parameters = {
        "NameContains": contains,
        "StatusEquals": status,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
    }
    return Request("sagemaker", "ListHyperParameterTuningJobs", given(parameters))


def trials(tuning_job_name: str) -> Request:
    """ListTrainingJobsForHyperParameterTuningJob, oldest first."""
    parameters = {
        "HyperParameterTuningJobName": tuning_job_name,
        "SortBy": "CreationTime",
        "SortOrder": "Ascending",
    }
    return Request("sagemaker", "ListTrainingJobsForHyperParameterTuningJob", parameters)


def transform_job(name: str) -> Request:
    """DescribeTransformJob."""
    return Request("sagemaker", "DescribeTransformJob", {"TransformJobName": name})


def stop(kind: str, name: str) -> Request:
    """The Stop call of a job; `kind` is TrainingJob, HyperParameterTuningJob or TransformJob."""
    return Request("sagemaker", f"Stop{kind}", {f"{kind}Name": name})


def log_streams(group: str, prefix: str) -> Request:
    """DescribeLogStreams: one stream for each host; all of the group's without a prefix."""
    parameters = {"logGroupName": group, "logStreamNamePrefix": prefix or None}
    return Request("logs", "DescribeLogStreams", given(parameters))


def log_events(group: str, stream: str, token: str | None) -> Request:
    """GetLogEvents from the start, or from where `token` left off."""
    parameters: dict[str, Any] = {
        "logGroupName": group,
        "logStreamName": stream,
        "startFromHead": True,
        "nextToken": token,
    }
    return Request("logs", "GetLogEvents", given(parameters))

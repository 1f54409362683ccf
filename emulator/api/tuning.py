"""Tuning jobs in the API: create, describe, list, list trials, stop."""

import threading

from emulator import contract
from emulator.api import tuning_checks
from emulator.api.listing import ORDERED, page
from emulator.api.training import TrainingJobs
from emulator.context import Context, Operations, now
from emulator.contract import Record
from emulator.errors import InUse, NotFound
from emulator.runs.training_run import KIND as TRAINING
from emulator.runs.tuning_run import KIND, TuningRun

_RESTARTED = "InternalServerError: We encountered an internal error. (The emulator ended.)"
_NAME = "HyperParameterTuningJobName"
_STATUS = "HyperParameterTuningJobStatus"


class TuningJobs:
    """The operations on tuning jobs, and the threads that run them."""

    def __init__(self, context: Context, training: TrainingJobs) -> None:
        self._context, self._training = context, training
        self._runs: dict[str, TuningRun] = {}
        self._threads: list[threading.Thread] = []
        for job in context.records.all(KIND):
            if job[_STATUS] in ("InProgress", "Stopping"):
                end = {_STATUS: "Failed", "FailureReason": _RESTARTED}
                context.records.update(KIND, job[_NAME], **end, HyperParameterTuningEndTime=now())

    def operations(self) -> Operations:
        """Return what this answers."""
        return {
            "CreateHyperParameterTuningJob": self.create,
            "DescribeHyperParameterTuningJob": self.describe,
            "ListHyperParameterTuningJobs": self.list_jobs,
            "ListTrainingJobsForHyperParameterTuningJob": self.list_trials,
            "StopHyperParameterTuningJob": self.stop,
        }

    def create(self, request: Record) -> Record:
        """Start a tuning job."""
        name = request[_NAME]
        tuning_checks.check(request)
        arn = self._context.settings.arn(KIND, name)
        job = request | {"HyperParameterTuningJobArn": arn, _STATUS: "InProgress", "_trials": []}
        if not self._context.records.add(KIND, name, job):
            raise InUse(
                "Hyper parameter tuning job names must be unique within an AWS account and "
                f"region, but a tuning job with the name {name} already exists"
            )
        run = self._runs[name] = TuningRun(self._context, self._training, name)
        thread = threading.Thread(target=run.live, name=f"tuning {name}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return {"HyperParameterTuningJobArn": arn}

    def describe(self, request: Record) -> Record:
        """Return a tuning job, its counters, and its best trial so far."""
        job = self._need(request[_NAME])
        trials = self._trials(job)
        statuses = [one["TrainingJobStatus"] for one in trials]
        counts = {
            "Completed": statuses.count("Completed"),
            "InProgress": statuses.count("InProgress") + statuses.count("Stopping"),
            "RetryableError": 0,
            "NonRetryableError": statuses.count("Failed"),
            "Stopped": statuses.count("Stopped"),
        }
        objectives = [one["ObjectiveStatus"] for one in trials]
        job["TrainingJobStatusCounters"] = counts
        job["ObjectiveStatusCounters"] = {
            status: objectives.count(status) for status in ("Succeeded", "Pending", "Failed")
        }
        valued = [one for one in trials if one["ObjectiveStatus"] == "Succeeded"]
        if valued:
            type_ = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"]
            best = (max if type_ == "Maximize" else min)(valued, key=_value)
            job["BestTrainingJob"] = best
        return job

    def list_jobs(self, request: Record) -> Record:
        """Return summaries."""
        jobs = [self.describe(job) for job in self._context.records.all(KIND)]
        for job in jobs:
            config = job["HyperParameterTuningJobConfig"]
            job |= {"Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}
        chosen, more = page(jobs, request, name=_NAME, status=_STATUS)
        summaries = [contract.members("HyperParameterTuningJobSummary", one) for one in chosen]
        return {"HyperParameterTuningJobSummaries": summaries} | more

    def list_trials(self, request: Record) -> Record:
        """Return a tuning job's training jobs; by objective, those without one come last."""
        trials = self._trials(self._need(request[_NAME]))
        if request.get("SortBy") == ORDERED:
            down = request.get("SortOrder", "Ascending") == "Descending"
            valued = [one for one in trials if one["ObjectiveStatus"] == "Succeeded"]
            rest = [one for one in trials if one["ObjectiveStatus"] != "Succeeded"]
            trials = sorted(valued, key=_value, reverse=down) + rest
        chosen, more = page(
            trials, request, name="TrainingJobName", status="TrainingJobStatus", order="Ascending"
        )
        return {"TrainingJobSummaries": chosen} | more

    def stop(self, request: Record) -> Record:
        """Ask a tuning job, and its trials, to stop."""
        name = request[_NAME]
        self._need(name)
        with self._context.records.change(KIND, name) as job:  # it may be about to end
            if job[_STATUS] == "InProgress":
                job[_STATUS] = "Stopping"
                self._runs[name].stop()
        return {}

    def close(self) -> None:
        """Wait for all to have ended, after the context's `closing` was set."""
        for thread in self._threads:
            thread.join()

    def _need(self, name: str) -> Record:
        job = self._context.records.get(KIND, name)
        if job is None:
            raise NotFound(f"Amazon SageMaker can't find a tuning job with the name {name}.")
        return job

    def _trials(self, job: Record) -> list[Record]:
        objective = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        found = []
        for trial in job["_trials"]:
            training = self._context.records.get(TRAINING, trial["name"])
            assert training
            found.append(_summary(training, trial["tuned"], objective))
        return found


def _value(trial: Record) -> float:
    value: float = trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    return value


def _summary(training: Record, tuned: Record, objective: Record) -> Record:
    """Return a HyperParameterTrainingJobSummary."""
    summary = contract.members("HyperParameterTrainingJobSummary", training)
    summary |= {"TunedHyperParameters": tuned, "LastModifiedTime": training["LastModifiedTime"]}
    name, status = objective["MetricName"], training["TrainingJobStatus"]
    values = [
        one["Value"] for one in training.get("FinalMetricDataList", []) if one["MetricName"] == name
    ]
    if status in ("InProgress", "Stopping"):
        summary["ObjectiveStatus"] = "Pending"
    elif values and status in ("Completed", "Stopped"):
        summary["ObjectiveStatus"] = "Succeeded"
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "MetricName": name,
            "Type": objective["Type"],
            "Value": values[0],
        }
    else:
        summary["ObjectiveStatus"] = "Failed"
    return summary

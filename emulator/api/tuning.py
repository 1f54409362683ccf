"""Tuning jobs in the API: create, describe, list, list trials, stop, delete."""

from emulator import contract
from emulator.api import input_data, training, tuning_checks
from emulator.api.listing import BY_NAME, page, summaries
from emulator.context import Context, Operations, now
from emulator.contract import Record
from emulator.errors import InUse, Invalid
from emulator.resources import TRAINING_JOB, TUNING_JOB
from emulator.runs import defaults
from emulator.runs.running import LIVE, Running, fail_unfinished
from emulator.runs.training_runs import TrainingRuns
from emulator.runs.tuning_run import TuningRun, objective_values, trial_request

_BY_OBJECTIVE = "FinalObjectiveMetricValue"


class TuningJobs:
    """The operations on tuning jobs."""

    def __init__(self, context: Context, trials: TrainingRuns) -> None:
        self._context, self._trial_runs = context, trials
        self._runs = Running[TuningRun](context, TUNING_JOB)
        for _ in fail_unfinished(context, TUNING_JOB):
            pass

    def operations(self) -> Operations:
        """Return the operations by name."""
        return {
            "CreateHyperParameterTuningJob": self.create,
            "DescribeHyperParameterTuningJob": self.describe,
            "ListHyperParameterTuningJobs": self.list_jobs,
            "ListTrainingJobsForHyperParameterTuningJob": self.list_trials,
            "StopHyperParameterTuningJob": self.stop,
            "DeleteHyperParameterTuningJob": self.delete,
        }

    def create(self, request: Record) -> Record:
        """Start a tuning job.

        Raises:
            Invalid, InUse, LimitExceeded: as SageMaker does.
            NotFound: a parent of a warm start does not exist.
        """
        tuning_checks.check(request)
        for parent in tuning_checks.parents(request):
            tuning_checks.check_parent(self._context.require(TUNING_JOB, parent), request)
        request = defaults.tuning_job(request)
        training.check(trial_request(request, request["HyperParameterTuningJobName"], {}))
        input_data.check_channels(self._context, request["TrainingJobDefinition"])
        job = request | {
            "HyperParameterTuningJobStatus": "InProgress",
            "TuningJobCompletionDetails": {"NumberOfTrainingJobsObjectiveNotImproving": 0},
            "_trials": [],
        }
        return self._runs.start(job, lambda name: TuningRun(self._context, self._trial_runs, name))

    def describe(self, request: Record) -> Record:
        """Return a tuning job, its counters, and its best trial so far."""
        job = self._require(request)
        trials = self._trials(job)
        statuses = [trial["TrainingJobStatus"] for trial in trials]
        job["TrainingJobStatusCounters"] = {
            "Completed": statuses.count("Completed"),
            "InProgress": statuses.count("InProgress") + statuses.count("Stopping"),
            "RetryableError": 0,
            "NonRetryableError": statuses.count("Failed"),
            "Stopped": statuses.count("Stopped"),
        }
        objectives = [trial["ObjectiveStatus"] for trial in trials]
        job["ObjectiveStatusCounters"] = {
            status: objectives.count(status) for status in ("Succeeded", "Pending", "Failed")
        }
        ended = job.get("HyperParameterTuningEndTime", now())
        job["ConsumedResources"] = {"RuntimeInSeconds": int(ended - job["CreationTime"])}
        if best := _best(job, trials):
            job["BestTrainingJob"] = best
        warm = job.get("WarmStartConfig", {})
        if warm.get("WarmStartType") == "IdenticalDataAndAlgorithm":
            inherited = [
                trial | {"TuningJobName": parent}
                for parent in tuning_checks.parents(job)
                if (record := self._context.records.get(TUNING_JOB, parent))
                for trial in self._trials(record)
            ]
            if overall := _best(job, trials + inherited):
                job["OverallBestTrainingJob"] = overall
        return job

    def list_jobs(self, request: Record) -> Record:
        """Return summaries, by name by default."""
        jobs = [self.describe(job) for job in self._context.records.all(TUNING_JOB)]
        for job in jobs:
            config = job["HyperParameterTuningJobConfig"]
            job |= {"Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}
        return summaries(TUNING_JOB, jobs, request, BY_NAME)

    def list_trials(self, request: Record) -> Record:
        """Return a tuning job's trials; sorted by objective, those that have one."""
        trials = self._trials(self._require(request))
        if request.get("SortBy") == _BY_OBJECTIVE:
            trials = [
                trial | {_BY_OBJECTIVE: _objective_value(trial)}
                for trial in trials
                if trial["ObjectiveStatus"] == "Succeeded"
            ]
        found, token = page(trials, request, BY_NAME, "TrainingJobName", "TrainingJobStatus")
        return {"TrainingJobSummaries": found} | token

    def delete(self, request: Record) -> Record:
        """Delete a tuning job that has ended; its training jobs remain.

        Raises:
            NotFound: no such job.
            InUse: it has not ended.
        """
        job = self._require(request)
        if job["HyperParameterTuningJobStatus"] in LIVE:
            arn, status = job["HyperParameterTuningJobArn"], job["HyperParameterTuningJobStatus"]
            raise InUse(f"Tuning job {arn} cannot be deleted: it is {status}")
        self._context.records.remove(TUNING_JOB, request["HyperParameterTuningJobName"])
        return {}

    def stop(self, request: Record) -> Record:
        """Ask a tuning job, and its trials, to stop.

        Raises:
            Invalid: there is no such job, or it has ended.
        """
        status = self._runs.stop(request["HyperParameterTuningJobName"])
        if status not in LIVE:
            raise Invalid(f"The request was rejected because the tuning job is in status {status}.")
        return {}

    def close(self) -> None:
        """Wait until all jobs have ended. The context's `closing` must be set."""
        self._runs.close()

    def _require(self, request: Record) -> Record:
        return self._context.require(TUNING_JOB, request["HyperParameterTuningJobName"])

    def _trials(self, job: Record) -> list[Record]:
        """Return the summaries of a tuning job's trials that have not been deleted."""
        return [
            _trial_summary(record, trial["tuned"], job)
            for trial in job["_trials"]
            if (record := self._context.records.get(TRAINING_JOB, trial["name"]))
        ]


def _best(job: Record, trials: list[Record]) -> Record | None:
    """Return the trial with the best objective, or None if none has one."""
    type_ = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"]
    succeeded = [trial for trial in trials if trial["ObjectiveStatus"] == "Succeeded"]
    better = max if type_ == "Maximize" else min
    return better(succeeded, key=_objective_value) if succeeded else None


def _objective_value(trial: Record) -> float:
    value: float = trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    return value


def _trial_summary(job: Record, tuned: Record, tuning: Record) -> Record:
    """Return a HyperParameterTrainingJobSummary."""
    objective = tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    summary = contract.members("HyperParameterTrainingJobSummary", job)
    summary |= {"TunedHyperParameters": tuned, "LastModifiedTime": job["LastModifiedTime"]}
    if "DefinitionName" in tuning["TrainingJobDefinition"]:
        summary["TrainingJobDefinitionName"] = tuning["TrainingJobDefinition"]["DefinitionName"]
    name, status = objective["MetricName"], job["TrainingJobStatus"]
    values = objective_values(job, name)
    if status in LIVE:
        summary["ObjectiveStatus"] = "Pending"
    elif values:
        summary["ObjectiveStatus"] = "Succeeded"
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "MetricName": name,
            "Type": objective["Type"],
            "Value": values[0],
        }
    else:
        summary["ObjectiveStatus"] = "Failed"
    return summary

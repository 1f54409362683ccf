"""Tuning jobs in the API: create, describe, list, list trials, stop."""

from emulator import contract
from emulator.api import training, tuning_checks
from emulator.api.listing import SORTED, page, summaries
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.resources import TRAINING_JOB, TUNING_JOB
from emulator.runs.running import Running, fail_unfinished
from emulator.runs.training_runs import TrainingRuns
from emulator.runs.tuning_run import TuningRun, trial_request


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
        }

    def create(self, request: Record) -> Record:
        """Start a tuning job."""
        tuning_checks.check(request)
        training.check(trial_request(request, request["HyperParameterTuningJobName"], {}))
        job = request | {"HyperParameterTuningJobStatus": "InProgress", "_trials": []}
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
        succeeded = [trial for trial in trials if trial["ObjectiveStatus"] == "Succeeded"]
        if succeeded:
            type_ = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"]
            best = (max if type_ == "Maximize" else min)(succeeded, key=_objective_value)
            job["BestTrainingJob"] = best
        return job

    def list_jobs(self, request: Record) -> Record:
        """Return summaries, newest first by default."""
        jobs = [self.describe(job) for job in self._context.records.all(TUNING_JOB)]
        for job in jobs:
            config = job["HyperParameterTuningJobConfig"]
            job |= {"Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}
        return summaries(TUNING_JOB, jobs, request)

    def list_trials(self, request: Record) -> Record:
        """Return a tuning job's trials. Sorted by objective, trials without one come last."""
        trials = self._trials(self._require(request))
        if request.get("SortBy") == SORTED:
            descending = request.get("SortOrder", "Ascending") == "Descending"
            succeeded = [trial for trial in trials if trial["ObjectiveStatus"] == "Succeeded"]
            others = [trial for trial in trials if trial["ObjectiveStatus"] != "Succeeded"]
            trials = sorted(succeeded, key=_objective_value, reverse=descending) + others
        found, token = page(
            trials,
            request,
            name_key="TrainingJobName",
            status_key="TrainingJobStatus",
            order="Ascending",
        )
        return {"TrainingJobSummaries": found} | token

    def stop(self, request: Record) -> Record:
        """Ask a tuning job, and its trials, to stop."""
        self._runs.stop(request["HyperParameterTuningJobName"])
        return {}

    def close(self) -> None:
        """Wait until all jobs have ended. The context's `closing` must be set."""
        self._runs.close()

    def _require(self, request: Record) -> Record:
        return self._context.require(TUNING_JOB, request["HyperParameterTuningJobName"])

    def _trials(self, job: Record) -> list[Record]:
        objective = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        return [
            _trial_summary(
                self._context.require(TRAINING_JOB, trial["name"]), trial["tuned"], objective
            )
            for trial in job["_trials"]
        ]


def _objective_value(trial: Record) -> float:
    value: float = trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    return value


def _trial_summary(job: Record, tuned: Record, objective: Record) -> Record:
    """Return a HyperParameterTrainingJobSummary."""
    summary = contract.members("HyperParameterTrainingJobSummary", job)
    summary |= {"TunedHyperParameters": tuned, "LastModifiedTime": job["LastModifiedTime"]}
    name, status = objective["MetricName"], job["TrainingJobStatus"]
    values = [
        final["Value"]
        for final in job.get("FinalMetricDataList", [])
        if final["MetricName"] == name
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

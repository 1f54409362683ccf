"""One tuning job while it runs: it starts trials, watches them and learns from their results."""

import logging
import threading
import time
import uuid

from emulator.context import Context, now
from emulator.contract import Record
from emulator.resources import TRAINING_JOB, TUNING_JOB
from emulator.runs import search
from emulator.runs.completion import Completion
from emulator.runs.running import LIVE
from emulator.runs.training_runs import TrainingRuns

log = logging.getLogger("kennel.emulator")

_POLL_S = 0.1
NO_OBJECTIVE = (
    "No objective metrics found after running {} training jobs. Please ensure that the custom "
    "algorithm is emitting the objective metric as defined by the regular expression provided."
)
_NOT_OF_A_TRIAL = (
    "StaticHyperParameters",
    "DefinitionName",
    "TuningObjective",
    "HyperParameterTuningResourceConfig",
)


def trial_request(tuning: Record, name: str, tuned: search.Hyperparameters) -> Record:
    """Return the CreateTrainingJob request of a trial.

    Args:
        tuning: the CreateHyperParameterTuningJob request.
        name: the trial's name.
        tuned: its hyperparameters, without the static ones.
    """
    definition = tuning["TrainingJobDefinition"]
    static = definition.get("StaticHyperParameters", {})
    shared = {key: value for key, value in definition.items() if key not in _NOT_OF_A_TRIAL}
    if "Tags" in tuning:  # "also added to all training jobs that the tuning job launches"
        shared["Tags"] = tuning["Tags"]
    return shared | {
        "TrainingJobName": name,
        "HyperParameters": static | tuned,
    }


def objective_values(job: Record, metric: str) -> list[float]:
    """Return the final value of a trial's objective, if it has ended well and has one."""
    return [
        final["Value"]
        for final in job.get("FinalMetricDataList", [])
        if final["MetricName"] == metric and job["TrainingJobStatus"] in ("Completed", "Stopped")
    ]


def tuned_names(tuning: Record) -> set[str]:
    """Return the names of a tuning job's hyperparameters, tuned and static ones."""
    ranges = tuning["HyperParameterTuningJobConfig"].get("ParameterRanges", {})
    names = {one["Name"] for kind in ranges.values() for one in kind}
    names |= set(tuning["TrainingJobDefinition"].get("StaticHyperParameters", {}))
    return names - {"_tuning_objective_metric"}


class TuningRun:
    """Runs one tuning job whose record is already stored.

    Args:
        context: the emulator's context.
        training: runs the trials.
        name: the tuning job's name.
    """

    def __init__(self, context: Context, training: TrainingRuns, name: str) -> None:
        job = context.records.get(TUNING_JOB, name)
        assert job
        self._context, self._training, self._name, self._job = context, training, name, job
        self._config: Record = job["HyperParameterTuningJobConfig"]
        self._objective: Record = self._config["HyperParameterTuningJobObjective"]
        static = job["TrainingJobDefinition"].get("StaticHyperParameters", {})
        self._search = search.make(name, self._config, static)
        self._running: dict[str, int] = {}  # the search's number of each running trial
        self._count = 0
        self._completion = Completion(self._config)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ask the tuning job, and its trials, to stop."""
        self._stopped.set()

    def run(self) -> None:
        """Run the tuning job to its end; errors become its FailureReason."""
        try:
            status, reason = self._run()
        except Exception as error:
            log.exception("tuning job %s", self._name)
            status, reason = "Failed", f"InternalServerError: the emulator failed: {error!r}"
        fields = {"HyperParameterTuningJobStatus": status, "HyperParameterTuningEndTime": now()}
        if reason:
            fields["FailureReason"] = reason
        self._context.records.update(TUNING_JOB, self._name, **fields)

    def _run(self) -> tuple[str, str]:
        """Run all trials; return the tuning job's status and failure reason."""
        limits = self._config["ResourceLimits"]
        max_trials = limits.get("MaxNumberOfTrainingJobs", float("inf"))
        deadline = time.monotonic() + limits.get("MaxRuntimeInSeconds", float("inf"))
        self._learn_from_parents()
        exhausted = False
        failed = 0
        while not exhausted or self._running:
            if self._completion.met or self._stopped.is_set() or time.monotonic() > deadline:
                exhausted = True
                self._stop_trials()
            while (
                not exhausted
                and len(self._running) < limits["MaxParallelTrainingJobs"]
                and not self._context.closing.is_set()
            ):
                exhausted = self._count >= max_trials or not self._start_trial()
            for name in list(self._running):
                failed += self._check_trial(name) == "Failed"
            if self._context.closing.is_set() and not self._running:
                return "Failed", "InternalServerError: the emulator was stopped"
            time.sleep(_POLL_S)
        if self._stopped.is_set():
            return "Stopped", ""
        if not self._completion.found:
            reason = "All training jobs failed. Please take a look at the training jobs failures to"
            return "Failed", (
                f"{reason} get more details."
                if failed == self._count
                else NO_OBJECTIVE.format(self._count)
            )
        return "Completed", ""

    def _learn_from_parents(self) -> None:
        """Show the trials of a warm start's parents to the search."""
        given = self._job.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", [])
        for parent in given:
            tuning = self._context.records.get(TUNING_JOB, parent["HyperParameterTuningJobName"])
            for trial in tuning["_trials"] if tuning else []:
                job = self._context.records.get(TRAINING_JOB, trial["name"])
                for value in objective_values(job, self._objective["MetricName"]) if job else []:
                    self._search.remember(trial["tuned"], value)

    def _start_trial(self) -> bool:
        """Start the next trial; return False if the search has no more."""
        proposal = self._search.propose()
        if proposal is None:
            return False
        number, tuned = proposal
        self._count += 1
        name = f"{self._name}-{self._count:03d}-{uuid.uuid4().hex[:8]}"
        request = trial_request(self._job, name, tuned)
        self._training.create(request, TuningJobArn=self._job["HyperParameterTuningJobArn"])
        # Only now: a listed trial must be there to describe.
        with self._context.records.change(TUNING_JOB, self._name) as job:
            job["_trials"].append({"name": name, "tuned": tuned})
        self._running[name] = number
        return True

    def _check_trial(self, name: str) -> str:
        """Stop a running trial that is not promising, learn from one that has ended.

        Returns:
            The trial's status.
        """
        number, metric = self._running[name], self._objective["MetricName"]
        # A trial may have been deleted since it ended.
        gone = {"TrainingJobStatus": "Completed"}
        job = self._context.records.get(TRAINING_JOB, name) or gone
        status: str = job["TrainingJobStatus"]
        curve = self._training.get(name).metric_values(metric)
        if status in LIVE:
            if status == "InProgress" and self._search.should_stop(number, curve):
                self._training.stop(name)
            return status
        del self._running[name]
        values = objective_values(job, metric)
        value = values[0] if values else None
        # A trial that was stopped counts up to where it was stopped, and no further.
        self._search.learn(number, value, curve if status == "Completed" else ())
        self._completion.count(value)
        with self._context.records.change(TUNING_JOB, self._name) as tuning:
            details = tuning["TuningJobCompletionDetails"]
            details["NumberOfTrainingJobsObjectiveNotImproving"] = self._completion.not_improving
            if self._completion.converged:
                details.setdefault("ConvergenceDetectedTime", now())
        return status

    def _stop_trials(self) -> None:
        for name in self._running:
            self._training.stop(name)

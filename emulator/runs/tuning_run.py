"""One tuning job while it runs: it starts trials, watches them and learns from their results."""

import logging
import threading
import time
import uuid

from emulator.context import Context, now
from emulator.contract import Record
from emulator.errors import Invalid
from emulator.resources import TRAINING_JOB, TUNING_JOB
from emulator.runs import search
from emulator.runs.running import LIVE
from emulator.runs.training_runs import TrainingRuns

log = logging.getLogger("kennel.emulator")

_POLL_S = 0.1
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

    Raises:
        Invalid: see `resources`.
    """
    definition = tuning["TrainingJobDefinition"]
    objective = tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    static = definition.get("StaticHyperParameters", {})
    shared = {key: value for key, value in definition.items() if key not in _NOT_OF_A_TRIAL}
    return shared | {
        "TrainingJobName": name,
        "ResourceConfig": resources(definition),
        "HyperParameters": {
            **static,
            **tuned,
            "_tuning_objective_metric": objective["MetricName"],
        },
    }


def resources(definition: Record) -> Record:
    """Return a trial's ResourceConfig: from ResourceConfig or HyperParameterTuningResourceConfig.

    Raises:
        Invalid: both or neither are given, or several instance types to choose from.
    """
    given = definition.get("HyperParameterTuningResourceConfig")
    if ("ResourceConfig" in definition) == (given is not None):
        raise Invalid(
            "Exactly one of ResourceConfig and HyperParameterTuningResourceConfig must be present"
        )
    if given is None:
        config: Record = definition["ResourceConfig"]
        return config
    choices = given.get("InstanceConfigs", [])
    if len(choices) > 1:
        raise Invalid("Several InstanceConfigs are not emulated: give one")
    chosen = given | (choices[0] if choices else {})
    keys = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
    return {key: chosen[key] for key in keys if key in chosen}


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
        self._search = search.make(name, self._config)
        self._running: dict[str, int] = {}  # the search's number of each running trial
        self._count = 0
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
        exhausted = reached_target = False
        succeeded = 0
        while not exhausted or self._running:
            if reached_target or self._stopped.is_set() or time.monotonic() > deadline:
                exhausted = True
                self._stop_trials()
            while (
                not exhausted
                and len(self._running) < limits["MaxParallelTrainingJobs"]
                and not self._context.closing.is_set()
            ):
                exhausted = self._count >= max_trials or not self._start_trial()
            for name in list(self._running):
                value = self._check_trial(name)
                succeeded += value is not None
                reached_target = reached_target or self._reaches_target(value)
            if self._context.closing.is_set() and not self._running:
                return "Failed", "InternalServerError: the emulator was stopped"
            time.sleep(_POLL_S)
        if self._stopped.is_set():
            return "Stopped", ""
        if not succeeded:
            return "Failed", (
                "All training jobs failed. Please take a look at the training jobs failures to "
                "get more details."
            )
        return "Completed", ""

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

    def _check_trial(self, name: str) -> float | None:
        """Stop a running trial that is not promising; return the objective of one just ended."""
        number, metric = self._running[name], self._objective["MetricName"]
        job = self._context.require(TRAINING_JOB, name)
        curve = self._training.get(name).metric_values(metric)
        if job["TrainingJobStatus"] in LIVE:
            in_progress = job["TrainingJobStatus"] == "InProgress"
            if in_progress and self._search.should_stop(number, curve):
                self._training.stop(name)
            return None
        del self._running[name]
        values = [
            final["Value"]
            for final in job.get("FinalMetricDataList", [])
            if final["MetricName"] == metric and job["TrainingJobStatus"] != "Failed"
        ]
        value = values[0] if values else None
        # A trial that was stopped counts up to where it was stopped, and no further.
        completed = job["TrainingJobStatus"] == "Completed"
        self._search.learn(number, value, curve if completed else ())
        return value

    def _reaches_target(self, value: float | None) -> bool:
        criteria = self._config.get("TuningJobCompletionCriteria", {})
        target = criteria.get("TargetObjectiveMetricValue")
        if value is None or target is None:
            return False
        maximize = self._objective["Type"] == "Maximize"
        return bool(value >= target if maximize else value <= target)

    def _stop_trials(self) -> None:
        for name in self._running:
            self._training.stop(name)

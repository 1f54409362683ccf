"""The life of one tuning job: trials proposed, run side by side, learnt from."""

import logging
import threading
import time
import uuid

from emulator.api.training import TrainingJobs
from emulator.api.tuning_checks import resources
from emulator.context import Context, now
from emulator.contract import Record
from emulator.errors import ApiError
from emulator.runs import search
from emulator.runs.training_run import KIND as TRAINING
from emulator.runs.training_run import LIVE

log = logging.getLogger("kennel.emulator")

KIND = "hyper-parameter-tuning-job"
OBJECTIVE = "_tuning_objective_metric"
_TICK_S = 0.1
_NOT_A_TRIALS = (
    "StaticHyperParameters",
    "DefinitionName",
    "TuningObjective",
    "HyperParameterTuningResourceConfig",
)


class TuningRun:
    """Runs one tuning job, which the records already hold."""

    def __init__(self, context: Context, training: TrainingJobs, name: str) -> None:
        job = context.records.get(KIND, name)
        assert job
        self._context, self._training, self._name = context, training, name
        self._definition: Record = job["TrainingJobDefinition"]
        self._config: Record = job["HyperParameterTuningJobConfig"]
        self._arn: str = job["HyperParameterTuningJobArn"]
        self._objective: Record = self._config["HyperParameterTuningJobObjective"]
        self._search = search.make(name, self._config)
        self._running: dict[str, int] = {}
        self._count = 0
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Have it stopped, and its trials."""
        self._stopped.set()

    def live(self) -> None:
        """Live the tuning job to its end."""
        try:
            status, reason = self._run()
        except ApiError as error:
            status, reason = "Failed", error.message
        except Exception as error:
            log.exception("tuning job %s", self._name)
            status, reason = "Failed", f"InternalServerError: the emulator failed: {error!r}"
        fields = {"HyperParameterTuningJobStatus": status, "HyperParameterTuningEndTime": now()}
        if reason:
            fields["FailureReason"] = reason
        self._context.records.update(KIND, self._name, **fields)

    def _run(self) -> tuple[str, str]:
        """Run all trials; return the tuning job's status and failure reason."""
        limits = self._config["ResourceLimits"]
        most = limits.get("MaxNumberOfTrainingJobs", float("inf"))
        deadline = time.monotonic() + limits.get("MaxRuntimeInSeconds", float("inf"))
        exhausted = enough = False
        succeeded = 0
        while not exhausted or self._running:
            over = enough or self._stopped.is_set() or time.monotonic() > deadline
            if over:
                exhausted = True
                self._stop_trials()
            while (
                not exhausted
                and len(self._running) < limits["MaxParallelTrainingJobs"]
                and not self._context.closing.is_set()
            ):
                exhausted = self._count >= most or not self._start_trial()
            for name in list(self._running):
                value = self._look(name)
                succeeded += value is not None
                enough = enough or self._is_enough(value)
            if self._context.closing.is_set() and not self._running:
                return "Failed", "InternalServerError: the emulator was stopped"
            time.sleep(_TICK_S)
        if self._stopped.is_set():
            return "Stopped", ""
        if not succeeded:
            return "Failed", (
                "All training jobs failed. Please take a look at the training jobs failures to "
                "get more details."
            )
        return "Completed", ""

    def _start_trial(self) -> bool:
        """Start the next trial; return False when the search has none."""
        proposal = self._search.propose()
        if proposal is None:
            return False
        number, tuned = proposal
        self._count += 1
        name = f"{self._name}-{self._count:03d}-{uuid.uuid4().hex[:8]}"
        static = self._definition.get("StaticHyperParameters", {})
        request = {
            key: value for key, value in self._definition.items() if key not in _NOT_A_TRIALS
        }
        request["ResourceConfig"] = resources(self._definition)
        request["TrainingJobName"] = name
        request["HyperParameters"] = static | tuned | {OBJECTIVE: self._objective["MetricName"]}
        # A trial may be stopped; none is to be seen before it can be described.
        self._training.create(request, tuning_arn=self._arn)
        with self._context.records.change(KIND, self._name) as job:
            job["_trials"].append({"name": name, "tuned": tuned})
        self._running[name] = number
        return True

    def _look(self, name: str) -> float | None:
        """See to a running trial; return its objective when it has just ended with one."""
        number, metric = self._running[name], self._objective["MetricName"]
        job = self._context.records.get(TRAINING, name)
        assert job
        if job["TrainingJobStatus"] in LIVE:
            values = self._training.metric_values(name, metric)
            if job["TrainingJobStatus"] == "InProgress" and self._search.hopeless(number, values):
                self._training.stop({"TrainingJobName": name})
            return None
        del self._running[name]
        values = [
            one["Value"]
            for one in job.get("FinalMetricDataList", [])
            if one["MetricName"] == metric and job["TrainingJobStatus"] != "Failed"
        ]
        value = values[0] if values else None
        self._search.learn(number, value)
        return value

    def _is_enough(self, value: float | None) -> bool:
        criteria = self._config.get("TuningJobCompletionCriteria", {})
        target = criteria.get("TargetObjectiveMetricValue")
        if value is None or target is None:
            return False
        most = self._objective["Type"] == "Maximize"
        return bool(value >= target if most else value <= target)

    def _stop_trials(self) -> None:
        for name in self._running:
            job = self._context.records.get(TRAINING, name)
            if job and job["TrainingJobStatus"] == "InProgress":
                self._training.stop({"TrainingJobName": name})

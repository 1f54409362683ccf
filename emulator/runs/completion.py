"""When a tuning job is complete before its last trial: TuningJobCompletionCriteria."""

from emulator.contract import Record

# "Not improving" is an improvement below 1 %, as the API's documentation has it. How SageMaker
# detects convergence is not public: here, so many results in a row that do not improve.
_IMPROVEMENT = 0.01
_CONVERGED = 10


class Completion:
    """Counts the results of trials.

    Args:
        config: the HyperParameterTuningJobConfig.
    """

    def __init__(self, config: Record) -> None:
        criteria = config.get("TuningJobCompletionCriteria", {})
        self._maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
        self._target: float | None = criteria.get("TargetObjectiveMetricValue")
        self._patience: int | None = criteria.get("BestObjectiveNotImproving", {}).get(
            "MaxNumberOfTrainingJobsNotImproving"
        )
        self._on_convergence = (
            criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled"
        )
        self._best: float | None = None
        self._reached = False
        self.not_improving = 0

    @property
    def found(self) -> bool:
        """Whether a trial had an objective value."""
        return self._best is not None

    @property
    def converged(self) -> bool:
        """Whether the results have not improved for a while."""
        return self.not_improving >= _CONVERGED

    @property
    def met(self) -> bool:
        """Whether one of the criteria is met."""
        impatient = self._patience is not None and self.not_improving >= self._patience
        return self._reached or impatient or (self._on_convergence and self.converged)

    def count(self, value: float | None) -> None:
        """Count the final objective value of a trial that has ended, or None if it has none."""
        if value is None:
            return
        if self._target is not None:
            reached = value >= self._target if self._maximize else value <= self._target
            self._reached = self._reached or reached
        if self._best is None:
            self._best = value
            return
        gain = value - self._best if self._maximize else self._best - value
        improved = gain > 0 and gain >= _IMPROVEMENT * abs(self._best)
        self.not_improving = 0 if improved else self.not_improving + 1
        if gain > 0:
            self._best = value

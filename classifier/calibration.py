"""Calibrated probabilities from logits, and a measure of how unusual a picture is.

Both are fitted on validation pictures after training and stored in the bundle. In numpy, for
servers without torch.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

_TEMPERATURES = (0.05, 20.0)
_QUANTILES = 101


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the temperature for which softmax(logits / temperature) fits the labels best.

    Args:
        logits: [N, C], of pictures that were not trained on.
        labels: int64 [N].

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks". The loss has one minimum
    in 1 / temperature, so a ternary search finds it.
    """
    low, high = (math.log(bound) for bound in _TEMPERATURES)
    scores = np.asarray(logits, np.float64)
    true = np.asarray(labels)[:, None]

    def loss(log_temperature: float) -> float:
        scaled = scores / math.exp(log_temperature)
        right = np.take_along_axis(scaled, true, 1)[:, 0]
        return float((_log_sum_exp(scaled) - right).mean())

    while high - low > 1e-4:
        third = (high - low) / 3
        if loss(low + third) < loss(high - third):
            high -= third
        else:
            low += third
    return math.exp((low + high) / 2)


def expected_calibration_error(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 15
) -> float:
    """Return the mean gap between confidence and accuracy, 0 (calibrated) to 1.

    Args:
        probabilities: [N, C].
        labels: int64 [N].
        bins: number of bins of equal width, over the largest probability.
    """
    shares = np.asarray(probabilities, np.float64)
    confidence, correct = shares.max(1), shares.argmax(1) == np.asarray(labels)
    indices = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    error = 0.0
    for index in range(bins):
        inside = indices == index
        if not inside.any():
            continue
        gap = correct[inside].mean() - confidence[inside].mean()
        error += float(inside.mean() * abs(gap))
    return error


class Novelty(BaseModel):
    """How different a picture is from the training pictures, from its logits alone.

    Args:
        quantiles: of the energies of validation pictures, at even steps from minimum to maximum.

    Source: the energy score of Liu et al. 2020, "Energy-based Out-of-distribution Detection".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantiles: tuple[float, ...] = Field(min_length=2)

    @field_validator("quantiles")
    @classmethod
    def _ascend(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        if list(quantiles) != sorted(quantiles):
            raise ValueError("quantiles must ascend")
        return quantiles

    def score(self, logits: Sequence[float]) -> float:
        """Return the share of validation pictures that are less unusual: 0 to 1.

        Over 0.99, at most one in a hundred pictures like those of training is as unusual.
        """
        value = energy(logits)
        above = bisect_left(self.quantiles, value)
        if above == 0:
            return 0.0
        if above == len(self.quantiles):
            return 1.0
        low, high = self.quantiles[above - 1 : above + 1]
        return (above - 1 + (value - low) / (high - low)) / (len(self.quantiles) - 1)


def energy(logits: Sequence[float]) -> float:
    """Return -log(sum(exp(logits))): the larger, the less the picture looks like any class."""
    largest = max(logits)
    return -largest - math.log(math.fsum(math.exp(logit - largest) for logit in logits))


def fit_novelty(logits: npt.ArrayLike) -> Novelty:
    """Fit the measure to the logits [N, C] of pictures that were not trained on."""
    energies = -_log_sum_exp(np.asarray(logits, np.float64))
    return Novelty(quantiles=tuple(np.quantile(energies, np.linspace(0, 1, _QUANTILES)).tolist()))


def _log_sum_exp(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    largest = logits.max(1, keepdims=True)
    summed: npt.NDArray[np.float64] = np.log(np.exp(logits - largest).sum(1)) + largest[:, 0]
    return summed

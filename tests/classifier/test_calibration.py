import math

import pytest
import torch

from classifier.calibration import (
    Novelty,
    energy,
    expected_calibration_error,
    fit_novelty,
    fit_temperature,
)


def sample(temperature: float, count: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn from their softmax at a temperature: calibrated at that one only."""
    generator = torch.Generator().manual_seed(1)
    logits = 4 * torch.randn(count, 5, generator=generator)
    labels = torch.multinomial((logits / temperature).softmax(1), 1, generator=generator)[:, 0]
    return logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_labels_is_found(temperature: float) -> None:
    logits, labels = sample(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.08)


def test_fitted_probabilities_are_calibrated_and_others_are_not() -> None:
    logits, labels = sample(3.0)
    fitted = (logits / fit_temperature(logits, labels)).softmax(1)
    assert expected_calibration_error(logits.softmax(1), labels) > 0.15
    assert expected_calibration_error(fitted, labels) < 0.03


def test_extreme_labels_give_the_limits_of_the_temperature() -> None:
    logits = torch.eye(3).repeat(10, 1)
    assert 0.05 <= fit_temperature(logits, logits.argmax(1)) < 0.051
    assert 19 < fit_temperature(logits, (logits.argmax(1) + 1) % 3) <= 20


def test_the_score_is_the_share_of_less_unusual_pictures() -> None:
    logits, _ = sample(1.0)
    novelty = fit_novelty(logits)
    scores = torch.tensor([novelty.score(row) for row in logits[:500].tolist()])
    assert (scores >= 0.9).double().mean().item() == pytest.approx(0.1, abs=0.04)
    assert scores.mean().item() == pytest.approx(0.5, abs=0.05)
    assert novelty.score([-50.0] * 5) == 1.0
    assert novelty.score([50.0] * 5) == 0.0


def test_the_energy_of_large_logits_is_finite() -> None:
    assert energy([1000.0, 1000.0]) == pytest.approx(-1000 - math.log(2))


def test_quantiles_ascend_and_can_be_equal() -> None:
    assert Novelty(quantiles=(-1.0, -1.0, 0.0)).score([0.5, -100.0]) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="ascend"):
        Novelty(quantiles=(1.0, 0.0))

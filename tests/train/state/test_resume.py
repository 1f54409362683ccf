"""A job killed at random moments (SIGKILL) resumes and ends with the same weights."""

from pathlib import Path

import pytest
import torch

from tests.train import kill_and_resume

EPOCHS, KILLS = 3, 5

pytestmark = pytest.mark.slow


def test_a_job_killed_five_times_ends_with_the_weights_of_an_unbroken_job(
    few_digits: Path, tmp_path: Path
) -> None:
    assert kill_and_resume.survive(tmp_path / "unbroken", few_digits, EPOCHS, kills=0, seed=0) == 0
    assert kill_and_resume.survive(tmp_path / "killed", few_digits, EPOCHS, KILLS, seed=1) == KILLS
    expected, weights = (
        kill_and_resume.weights(tmp_path / name) for name in ("unbroken", "killed")
    )
    assert all(torch.equal(expected[name], weights[name]) for name in expected)

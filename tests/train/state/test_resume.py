"""`kill -9` at random moments: what is left goes on, and ends with the very same weights."""

from pathlib import Path

import torch

from tests.train import kill_and_resume

EPOCHS, KILLS = 3, 5


def test_a_job_that_was_killed_again_and_again_ends_like_an_unbroken_one(
    few_digits: Path, tmp_path: Path
) -> None:
    assert kill_and_resume.survive(tmp_path / "unbroken", few_digits, EPOCHS, kills=0, seed=0) == 0
    assert kill_and_resume.survive(tmp_path / "killed", few_digits, EPOCHS, KILLS, seed=1) == KILLS
    one, other = (kill_and_resume.weights(tmp_path / name) for name in ("unbroken", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)

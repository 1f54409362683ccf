"""The pictures of a write-up: what their axes and legends say."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from scripts.aws import trials
from scripts.aws.trials import Trial
from scripts.writeup import drawing
from scripts.writeup.story import Tuning

TRIED = [
    Trial(
        job=f"trial-{number}",
        status="Completed",
        hyperparameters={
            "learning_rate": 10.0 ** -(1 + number / 5),
            "batch_size": (32, 64)[number % 2],
            "optimizer": "sgd",
        },
        value=0.5 + number / 100,
        seconds=1.0,
    )
    for number in range(12)
]


def test_the_objective_is_drawn_over_each_hyperparameter_that_varies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = drawing._save

    def kept(figure: Figure, file: Path) -> bool:
        drawn.append(figure)
        return save(figure, file)

    monkeypatch.setattr(drawing, "_save", kept)
    found = Tuning("t", "grid", "validation:accuracy", False, trials.ranked(TRIED, minimize=False))
    with drawing.style():
        assert drawing.tuning(found, tmp_path / "tuning-1.png")
    rate, batch = drawn[0].axes
    assert [rate.get_xlabel(), batch.get_xlabel()] == ["learning_rate", "batch_size"]
    assert rate.get_xscale() == "log"
    words = [label.get_text() for label in rate.get_xticklabels()]
    assert "0.01" in words  # and no formula
    assert [label.get_text() for label in batch.get_xticklabels()] == ["32", "64"]
    legend = rate.get_legend()
    assert legend
    shown = [one.get_text() for one in legend.get_texts()]
    assert shown == ["batch_size 32", "batch_size 64", "best"]
    best = np.asarray(rate.collections[-1].get_offsets())
    assert float(best[0, 1]) == pytest.approx(0.61)


def test_without_a_value_or_a_difference_nothing_is_drawn(tmp_path: Path) -> None:
    nothing = Tuning("t", "grid", "validation:accuracy", False, [])
    same = Tuning("t", "grid", "validation:accuracy", False, [TRIED[0]])
    with drawing.style():
        assert not drawing.tuning(nothing, tmp_path / "x.png")
        assert not drawing.tuning(same, tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()

"""A recorded sweep: its steps, epochs, phases and trials, and the report about them."""

import json
from pathlib import Path

import pytest

from debugger.records import EVALUATION, FEATURES, Mistake, Phase, Scalar, Step, Tensors, Trial
from debugger.report.facts import Report
from tests.train import head_jobs
from tests.train.recorded import Recorded

pytestmark = pytest.mark.slow

GRID = {"learning_rate": [0.001, 0.05], "batch_size": [16, 32], "epochs": [2, 3]}


@pytest.fixture(scope="module")
def swept(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    root = tmp_path_factory.mktemp("swept")
    weights = head_jobs.backbone(root)
    settings: dict[str, object] = {
        "architecture": "resnet18",
        "weights": str(weights),
        "trainable": "head",
        "augment": "none",
        "batch_size": 64,  # none of the grid
        "sweep": json.dumps(GRID),
    }
    return Recorded.lay_out(root, few_digits, **settings).run()


@pytest.fixture(scope="module")
def facts(swept: Recorded) -> Report:
    return Report.model_validate_json((swept.job.output_dir / "report.json").read_text())


def test_every_step_and_epoch_of_the_sweep_is_recorded(swept: Recorded) -> None:
    steps = [item for item in swept.records(Step) if item.mode == "train"]
    assert [item.step for item in steps] == list(range(len(steps)))
    # 140 pictures: 9 batches of 16 and 5 of 32 in each epoch.
    assert [item.epoch for item in steps] == [0] * 14 + [1] * 14 + [2] * 14
    assert {span.name for item in steps for span in item.spans} >= {"forward", "backward"}
    assert not swept.records(Tensors)  # the heads of all trials replace the network's


def test_features_and_evaluations_are_phases(swept: Recorded, facts: Report) -> None:
    names = [item.name for item in swept.records(Phase)]
    assert names.count(FEATURES) >= 2
    assert names.count(EVALUATION) == 6 + 2  # two groups of trials in three epochs; the winner
    took = {item.name: item.seconds for item in facts.time.parts}
    assert took["features"] > 0
    assert took["features"] + took["forward"] <= facts.time.train + 1e-6


def test_every_trial_is_recorded_with_its_epochs(swept: Recorded, facts: Report) -> None:
    written = json.loads((swept.job.output_dir / "sweep.json").read_text())
    assert facts.trials
    assert facts.trials.best == str(written["best"])
    assert facts.trials.trials[0].name == facts.trials.best
    by_number = {item.name: item for item in facts.trials.trials}
    assert len(by_number) == 8
    for trial in written["trials"]:
        found = by_number[str(trial["trial"])]
        assert found.hyperparameters == {name: trial[name] for name in GRID}
        assert found.value == trial["validation:accuracy"]
        assert found.epoch == trial["best_epoch"]
        values = [item.value for item in found.history["validation:accuracy"]]
        assert values == [item["validation:accuracy"] for item in trial["history"]]
        assert [item.epoch for item in found.history["train:loss"]] == list(range(trial["epochs"]))
    last = swept.records(Trial)[-1]
    assert (last.status, last.number) == ("best", written["best"])


def test_the_report_is_about_the_best_trial(swept: Recorded, facts: Report) -> None:
    assert facts.trials
    best = facts.trials.trials[0]
    points = facts.curves["validation:accuracy"]
    assert [item.step for item in points] == [
        item.step for item in best.history["validation:accuracy"]
    ]
    assert [item.epoch for item in points] == list(range(len(points)))
    assert facts.job.about["batch_size"] == best.hyperparameters["batch_size"]
    assert "epoch" not in facts.curves
    assert all(item.step >= 0 for item in swept.records(Scalar))
    assert all(one.step < 42 for rule in facts.rules for one in rule.first)
    page = (swept.job.output_dir / "report.html").read_text()
    assert "Tensors are not measured in a sweep" in page
    missing = [item for item in facts.rules if item.status == "no data" and item.kind == "tensor"]
    assert missing
    assert all("not measured in a sweep" in item.details["needs"] for item in missing)


def test_wrong_test_pictures_are_in_the_recording_and_on_the_page(
    swept: Recorded, facts: Report
) -> None:
    found = swept.records(Mistake)
    assert found
    assert len(found) <= 60
    assert {item.split for item in found} == {"test"}
    names = {path.name for path in (swept.job.channels["train"] / "test").rglob("*.*")}
    assert {Path(item.name).name for item in found} <= names
    assert all(len(item.thumbnail) < 20_000 for item in found)
    assert facts.confusion
    assert facts.confusion.split == "test"
    page = (swept.job.output_dir / "report.html").read_text()
    assert all(f"data:image/jpeg;base64,{item.thumbnail}" in page for item in found[:3])


def test_photos_are_not_recorded_without_the_collection_inputs(
    few_digits: Path, tmp_path: Path
) -> None:
    settings = {"epochs": 1, "debugger_collections": "losses,weights,gradients,activations"}
    job = Recorded.lay_out(tmp_path, few_digits, **settings).run()
    assert job.records(Step)
    assert not job.records(Mistake)
    assert "data:image/jpeg" not in (job.job.output_dir / "report.html").read_text()

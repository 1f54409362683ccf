"""What is measured is what is kept: log, bundle, metrics.json and report name the same epoch."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from classifier import bundle
from debugger.records import Mode
from tests.train import head_jobs
from tests.train.recorded import Recorded
from train import loop
from train.batches.batch import Batch
from train.config import TrainConfig
from train.learning.evaluate import Scores
from train.metrics import METRICS, to_json
from train.platform.stop import Interrupted, Stop
from train.recording.hooks import Hooks, Step
from train.state import checkpoint
from train.state.result import hardest


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_jobs.backbone(tmp_path_factory.mktemp("weights"))


def final(log: str) -> dict[str, float]:
    """Return the last value of each metric in a log, which SageMaker calls the final one."""
    found = {name: re.findall(metric.regex, log) for name, metric in METRICS.items()}
    return {name: float(values[-1]) for name, values in found.items() if values}


def strict(text: str) -> Any:
    """Read JSON; NaN and Infinity are no JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


# With these settings a later epoch is worse than the best one.
PLAIN = {"augment": "none", "horizontal_flip": False}
WORSE = {
    **{"epochs": 30, "patience": 1, "schedule": "constant", "learning_rate": 0.5, "momentum": 0.95},
    **PLAIN,
}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(WORSE, id="early stop"),
        pytest.param(WORSE | {"ema": 0.5}, id="averaged weights", marks=pytest.mark.slow),
        pytest.param(
            WORSE | {"sweep": '{"learning_rate": [0.3, 0.5]}'}, id="sweep", marks=pytest.mark.slow
        ),
        pytest.param(WORSE | {"test_time_flip": True}, id="flip", marks=pytest.mark.slow),
    ],
)
def test_the_final_metrics_are_those_of_the_bundle(
    settings: dict[str, object],
    weights: Path,
    few_digits: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    head_jobs.train(tmp_path, few_digits, head_jobs.config(weights, **settings))
    description = bundle.load(tmp_path / "model").description
    assert final(capsys.readouterr().out) == pytest.approx(description.metrics, rel=1e-6)
    figures = strict((tmp_path / "data" / "metrics.json").read_text())
    best = figures["history"][figures["best_epoch"] - 1]
    assert best["validation:accuracy"] == description.metrics["validation:accuracy"]
    assert best != figures["history"][-1]  # so the last epoch is not the kept one


@pytest.mark.slow
def test_a_stopped_and_a_resumed_job_end_with_the_kept_epochs_metrics(
    weights: Path, few_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = head_jobs.config(weights, **WORSE)
    with pytest.raises(Interrupted):
        head_jobs.train(tmp_path, few_digits, settings, head_jobs.StopAfter(16))
    description = bundle.load(tmp_path / "model").description
    assert description.training["finished"] is False
    assert final(capsys.readouterr().out) == pytest.approx(description.metrics, rel=1e-6)
    for _ in range(2):  # the second start finds every epoch done
        head_jobs.train(tmp_path, few_digits, settings)
        description = bundle.load(tmp_path / "model").description
        found = final(capsys.readouterr().out)
        assert found == pytest.approx(description.metrics, rel=1e-6)
        assert found["train:images_per_second"] > 0


def test_the_report_names_the_epoch_in_the_bundle(few_digits: Path, tmp_path: Path) -> None:
    """Accuracy is equal in several epochs of a job that cannot learn; the loss decides."""
    job = Recorded.lay_out(tmp_path, few_digits, epochs=3, learning_rate=1e-9)
    job.run()
    description = bundle.load(job.job.model_dir).description
    report = strict((job.job.output_dir / "report.json").read_text())
    assert report["best"]["epoch"] == description.training["best_epoch"]
    assert (
        report["best"]["values"]["validation:accuracy"]
        == (description.metrics["validation:accuracy"])
    )
    shown = f"{100 * description.metrics['validation:accuracy']:.1f} %"
    assert f"The best validation accuracy was {shown}." in report["headline"]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0, 3, 5])
def test_the_rate_of_pictures_is_that_of_the_whole_epoch_after_a_restart(
    stop: int, few_digits: Path, tmp_path: Path
) -> None:
    """Five steps in an epoch; the job is stopped before, in and after them, then resumed."""
    settings = tiny(epochs=1, batch_size=28, checkpoint_minutes=1e-9)
    splits = head_jobs.find(few_digits)
    assert -(-len(splits.train) // 28) == 5
    with pytest.raises(Interrupted):
        head_jobs.train(tmp_path, few_digits, settings, head_jobs.StopAfter(stop))
    head_jobs.train(tmp_path, few_digits, settings)
    (epoch,) = strict((tmp_path / "data" / "metrics.json").read_text())["history"]
    assert 1 < epoch["train:images_per_second"] < 1e5


def tiny(**settings: object) -> TrainConfig:
    given = {
        **{"architecture": "mobilenet_v3_small", "weights": "none", "trainable": "all"},
        **{
            "image_size": 32,
            "batch_size": 64,
            "workers": 0,
            "export": "none",
            "precision": "fp32",
            "learning_rate": 0.001,
        },
    }
    return TrainConfig.model_validate(given | settings)


@pytest.mark.slow
def test_the_rate_in_the_metrics_is_the_heads(few_digits: Path, tmp_path: Path) -> None:
    settings = tiny(epochs=1, schedule="constant", backbone_learning_rate=0.05)
    head_jobs.train(tmp_path, few_digits, settings)
    (epoch,) = strict((tmp_path / "data" / "metrics.json").read_text())["history"]
    assert epoch["train:learning_rate"] == 0.001


class Seen(Hooks):
    """Keeps the labels of each batch, and by which labels its answers were judged."""

    def __init__(self) -> None:
        self.own: list[torch.Tensor] = []
        self.judged: list[torch.Tensor] = []
        self.right = 0

    def steps(
        self, mode: Mode, batches: Iterable[Batch], epoch: int = 0, first: int = 0
    ) -> Iterator[tuple[Step, Batch]]:
        for step, batch in super().steps(mode, batches, epoch, first):
            if mode == "train":
                self.own.append(batch.labels)
            yield (Judged(self) if mode == "train" else step), batch


class Judged(Step):
    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def result(
        self,
        loss: torch.Tensor,  # noqa: ARG002
        labels: torch.Tensor,
        answers: torch.Tensor,
    ) -> None:
        self._seen.judged.append(labels)
        self._seen.right += int((labels == answers).sum())


def test_of_a_mixed_picture_the_class_with_the_larger_share_is_right(
    weights: Path, few_digits: Path, tmp_path: Path
) -> None:
    """MixUp mixes each picture with the one before it in the batch."""
    seen = Seen()
    settings = head_jobs.config(weights, **PLAIN, epochs=1, batch_size=16, mixup=1.0)
    loop.train(settings, head_jobs.find(few_digits), head_jobs.job(tmp_path), Stop(), seen)
    shifted = [
        torch.equal(judged, own.roll(1)) for own, judged in zip(seen.own, seen.judged, strict=True)
    ]
    same = [torch.equal(judged, own) for own, judged in zip(seen.own, seen.judged, strict=True)]
    assert all(a or b for a, b in zip(shifted, same, strict=True))
    assert any(shifted)
    assert any(same)
    (epoch,) = strict((tmp_path / "data" / "metrics.json").read_text())["history"]
    assert epoch["train:accuracy"] == pytest.approx(seen.right / sum(map(len, seen.own)))


@pytest.mark.slow
def test_a_lost_loss_is_null_in_json(weights: Path, few_digits: Path, tmp_path: Path) -> None:
    """This rate and decay make the weights nine times as large in each step."""
    settings = head_jobs.config(weights, **WORSE | {"patience": 0, "learning_rate": 10})
    ends = []
    for _ in range(2):  # the second start finds the job ended
        head_jobs.train(tmp_path, few_digits, settings.model_copy(update={"weight_decay": 1.0}))
        ends.append(strict((tmp_path / "data" / "metrics.json").read_text()))
    assert ends[0] == ends[1]
    history = ends[0]["history"]
    assert 1 < len(history) < 30
    assert history[-1]["validation:loss"] is None
    assert history[ends[0]["best_epoch"] - 1]["validation:loss"] > 0


def test_numbers_that_json_cannot_hold_are_null() -> None:
    given = {"a": math.nan, "b": [math.inf, 1.5, (-math.inf, "NaN")], "c": {"d": True, "e": None}}
    assert strict(to_json(given)) == {
        "a": None,
        "b": [None, 1.5, [None, "NaN"]],
        "c": {"d": True, "e": None},
    }


def test_a_checkpoint_keeps_numbers_that_are_none(tmp_path: Path) -> None:
    state = {"history": [{"loss": math.nan, "other": -math.inf}], "best": math.inf}
    path = checkpoint.save(tmp_path, state, 1)
    header = path.read_bytes()[8:]
    length = int.from_bytes(path.read_bytes()[:8], "little")
    strict(strict(header[:length].decode())["__metadata__"]["state"])
    found = checkpoint.load_newest(tmp_path)
    assert found
    (epoch,) = found[0]["history"]
    assert math.isnan(epoch["loss"])
    assert epoch["other"] == -math.inf
    assert found[0]["best"] == math.inf


def test_the_hardest_classes_have_test_pictures() -> None:
    confusion = torch.tensor([[3, 1, 0], [0, 0, 0], [0, 1, 1]])
    scores = Scores(1.0, 4 / 6, 1.0, 6, confusion)
    assert hardest(scores, ("a", "absent", "c")) == ["c (50% found)", "a (75% found)"]

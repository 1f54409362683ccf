"""Several processes train the same model as one process, and count each picture once."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from classifier import bundle
from tests.train import head_jobs, multiprocess
from train.config import TrainConfig

pytestmark = pytest.mark.slow


def config(**settings: object) -> TrainConfig:
    """Return a config that trains batch norm; the last batch of an epoch is uneven."""
    small = {
        **{
            "architecture": "resnet18",
            "weights": "none",
            "trainable": "all",
            "workers": 0,
            "export": "none",
        },
        **{"image_size": 32, "epochs": 2, "batch_size": 48, "learning_rate": 0.001},
        "precision": "fp32",  # the same results on any processor
    }
    return TrainConfig.model_validate(small | settings)


def read_metrics(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "data" / "metrics.json").read_text())
    return found


def check_losses(one: dict[str, Any], other: dict[str, Any], *tolerances: float) -> None:
    """Check that losses agree, to a relative tolerance for each epoch.

    Sums have another order, and batch norm on few small pictures amplifies the difference in every
    step. If each process had its own statistics, the first epoch would differ by 1e-2.
    """
    for mine, yours, tolerance in zip(one["history"], other["history"], tolerances, strict=True):
        for name in ("train:loss", "validation:loss"):
            assert mine[name] == pytest.approx(yours[name], rel=tolerance)
    assert one["test"]["pictures"] == other["test"]["pictures"]


@pytest.fixture(scope="module")
def digits(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits and two files that cannot be read; the last batch is not full."""
    folder = tmp_path_factory.mktemp("digits") / "digits"
    shutil.copytree(few_digits, folder)
    (folder / "train" / "3" / "empty.png").write_bytes(b"")
    (folder / "train" / "4" / "empty.png").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {"label_smoothing": 0.1, "clip_gradient_norm": 1.0},
        {"class_weights": "balanced", "optimizer": "adamw", "learning_rate": 1e-4, "ema": 0.5},
    ],
    ids=["sgd", "every option"],
)
def test_two_processes_have_the_loss_curve_of_one_process(
    settings: dict[str, object], digits: Path, tmp_path: Path
) -> None:
    for world in (1, 2):
        given = config(max_unreadable=0.2, **settings)
        multiprocess.train(tmp_path / str(world), digits, given, world)
    one, two = (read_metrics(tmp_path / name) for name in "12")
    check_losses(one, two, 1e-3, 1e-2)
    assert set(one["unreadable"]) == set(two["unreadable"])
    assert len(one["unreadable"]) == 2
    bundles = [bundle.load(tmp_path / name / "model").description for name in "12"]
    assert bundles[0].temperature == pytest.approx(bundles[1].temperature, rel=0.05)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_jobs.backbone(tmp_path_factory.mktemp("weights"))


def test_a_head_on_features_of_two_processes_is_the_same(
    weights: Path, digits: Path, tmp_path: Path
) -> None:
    settings = head_jobs.config(weights, max_unreadable=0.2, batch_size=48)
    for world in (1, 2):
        multiprocess.train(tmp_path / str(world), digits, settings, world)
    torch.testing.assert_close(
        head_jobs.head(tmp_path / "1"), head_jobs.head(tmp_path / "2"), rtol=1e-3, atol=1e-5
    )
    one, two = (read_metrics(tmp_path / name) for name in "12")
    check_losses(one, two, 1e-4, 1e-4, 1e-4)
    assert set(one["unreadable"]) == set(two["unreadable"])


def test_two_stages_in_two_processes_are_the_same(
    weights: Path, digits: Path, tmp_path: Path
) -> None:
    settings = head_jobs.config(
        weights,
        **{"max_unreadable": 0.2, "trainable": "layer4", "epochs": 3, "head_epochs": 2},
        **{"batch_size": 48, "learning_rate": 0.005, "freeze_batch_norm": True},
    )
    for world in (1, 2):
        multiprocess.train(tmp_path / str(world), digits, settings, world)
    one, two = (read_metrics(tmp_path / name) for name in "12")
    check_losses(one, two, 1e-4, 1e-4, 1e-4)


def test_a_sweep_in_two_processes_is_the_same(weights: Path, digits: Path, tmp_path: Path) -> None:
    grid = '{"learning_rate": [0.001, 0.05], "epochs": [1, 2]}'
    settings = head_jobs.config(weights, max_unreadable=0.2, sweep=grid)
    for world in (1, 2):
        multiprocess.train(tmp_path / str(world), digits, settings, world)
    assert torch.equal(head_jobs.head(tmp_path / "1"), head_jobs.head(tmp_path / "2"))
    one, two = (json.loads((tmp_path / n / "data" / "sweep.json").read_text()) for n in "12")
    assert one["best"] == two["best"]
    for mine, yours in zip(one["trials"], two["trials"], strict=True):
        for name in mine.keys() - {"history"}:
            assert mine[name] == pytest.approx(yours[name], rel=1e-6)


def test_processes_with_different_photos_are_refused(
    digits: Path, few_digits: Path, tmp_path: Path
) -> None:
    errors = multiprocess.check_photos(tmp_path, (digits, few_digits))
    assert all("S3DataDistributionType to FullyReplicated" in error for error in errors)


def test_pictures_of_the_same_names_and_sizes_but_other_contents_are_refused(
    digits: Path, tmp_path: Path
) -> None:
    shutil.copytree(digits, tmp_path / "other")
    picture = next((tmp_path / "other" / "train" / "7").iterdir())
    content = bytearray(picture.read_bytes())
    content[-20] ^= 1
    picture.write_bytes(content)
    errors = multiprocess.check_photos(tmp_path, (digits, tmp_path / "other"))
    assert all("with other contents or in another split" in error for error in errors)
    (tmp_path / "rendezvous").unlink(missing_ok=True)
    assert multiprocess.check_photos(tmp_path, (digits, digits)) == ["", ""]

"""Training on a frozen backbone's features gives the same head as training the whole network."""

import os
import shutil
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from classifier import bundle
from tests.train import head_jobs
from train import loop
from train.features import backbone, chunks, features, versions
from train.platform.stop import Interrupted, Stop
from train.recording.hooks import Hooks
from train.state.result import GOLDEN_PICTURES
from train.state.setup import set_up

SLOW = pytest.mark.slow
PLAIN = {"augment": "none", "horizontal_flip": False}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_jobs.backbone(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stores features across jobs."""
    monkeypatch.setenv(features.FOLDER, str(tmp_path / "features"))
    return tmp_path / "features"


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="augmented"),
        pytest.param({"augment": "none", "horizontal_flip": False}, id="plain", marks=SLOW),
        pytest.param(
            {"augment": "trivialaugment", "augment_on": "device"},
            id="policy on the device",
            marks=SLOW,
        ),
        pytest.param(
            {"optimizer": "adamw", "ema": 0.5}
            | {"class_weights": "balanced", "clip_gradient_norm": 1.0},
            id="every option",
            marks=SLOW,
        ),
    ],
)
def test_the_head_equals_the_head_trained_with_the_whole_network(
    settings: dict[str, object], weights: Path, few_digits: Path, tmp_path: Path
) -> None:
    from_features, through = (
        head_jobs.train(
            tmp_path / name, few_digits, head_jobs.config(weights, feature_views=views, **settings)
        )
        for name, views in (("features", None), ("network", 0))
    )
    # The backbone gets other batches, so the last bits differ.
    torch.testing.assert_close(from_features, through, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "checks", [9, *(pytest.param(checks, marks=pytest.mark.slow) for checks in (2, 17))]
)
def test_a_job_stopped_anywhere_resumes_to_the_same_weights(
    checks: int, weights: Path, few_digits: Path, tmp_path: Path, unbroken: torch.Tensor
) -> None:
    config = head_jobs.config(weights)
    with pytest.raises(Interrupted):
        head_jobs.train(tmp_path, few_digits, config, head_jobs.StopAfter(checks))
    assert torch.equal(head_jobs.train(tmp_path, few_digits, config), unbroken)


@pytest.fixture(scope="module")
def unbroken(
    weights: Path, few_digits: Path, tmp_path_factory: pytest.TempPathFactory
) -> torch.Tensor:
    return head_jobs.train(tmp_path_factory.mktemp("job"), few_digits, head_jobs.config(weights))


def test_a_second_job_reuses_features_and_recomputes_a_damaged_chunk(
    weights: Path,
    few_digits: Path,
    tmp_path: Path,
    stored: Path,
    unbroken: torch.Tensor,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = head_jobs.config(weights)
    assert torch.equal(head_jobs.train(tmp_path / "1", few_digits, config), unbroken)
    files = {path: path.stat().st_mtime_ns for path in stored.iterdir()}
    assert len(files) == 4  # three views and the validation pictures
    assert torch.equal(head_jobs.train(tmp_path / "2", few_digits, config), unbroken)
    assert {path: path.stat().st_mtime_ns for path in stored.iterdir()} == files

    damaged = next(iter(files))
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    assert torch.equal(head_jobs.train(tmp_path / "3", few_digits, config), unbroken)
    assert f"features {damaged} are damaged" in capsys.readouterr().out
    assert stored.exists()


def test_a_replaced_picture_of_the_same_size_and_date_is_noticed(
    weights: Path, few_digits: Path, tmp_path: Path, stored: Path
) -> None:
    data = tmp_path / "digits"
    shutil.copytree(few_digits, data)
    config = head_jobs.config(weights, epochs=1)
    first = head_jobs.train(tmp_path / "1", data, config)
    picture = next((data / "train" / "1").iterdir())
    stat = picture.stat()
    other = next((data / "train" / "7").iterdir()).read_bytes()
    picture.write_bytes(other[: stat.st_size].ljust(stat.st_size, b"\0"))
    os.utime(picture, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not torch.equal(head_jobs.train(tmp_path / "2", data, config), first)


def test_unreadable_pictures_are_logged_with_stored_features_too(
    weights: Path,
    few_digits: Path,
    tmp_path: Path,
    stored: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = tmp_path / "digits"
    shutil.copytree(few_digits, data)
    (data / "train" / "3" / "empty.png").write_bytes(b"")
    config = head_jobs.config(weights, epochs=1)
    logs = []
    for name in ("1", "2"):
        head_jobs.train(tmp_path / name, data, config)
        logs.append(capsys.readouterr().out)
    assert all(log.count("skipped unreadable picture") == 1 for log in logs)
    assert "empty.png: the picture is empty (0 bytes)" in logs[1]


@pytest.mark.parametrize(
    ("settings", "views"),
    [
        ({}, 3),
        ({"feature_views": 2}, 2),
        ({"feature_views": 8}, 3),
        ({"augment": "none", "horizontal_flip": False}, 1),
        ({"feature_views": 0}, None),
        ({"mixup": 0.2}, None),
        ({"trainable": "layer4"}, None),
        ({"sweep": '{"epochs": [1, 5]}'}, 5),
    ],
)
def test_the_number_of_views(
    settings: dict[str, object],
    views: int | None,
    weights: Path,
    few_digits: Path,
    tmp_path: Path,
) -> None:
    run, network = set_up(
        head_jobs.config(weights, **settings),
        head_jobs.find(few_digits),
        head_jobs.job(tmp_path),
        Stop(),
        Hooks(),
    )
    chosen = features.choose(run, network)
    assert (chosen.views if chosen else None) == views


def test_epochs_reuse_views_in_turn(weights: Path, few_digits: Path, tmp_path: Path) -> None:
    run, network = set_up(
        head_jobs.config(weights, feature_views=2),
        head_jobs.find(few_digits),
        head_jobs.job(tmp_path),
        Stop(),
        Hooks(),
    )
    chosen = features.choose(run, network)
    assert chosen
    views = [chosen.view(run.splits.train, epoch) for epoch in range(4)]
    assert views[0] is views[2]
    assert views[1] is views[3]
    first, second = (view.batch([5]).images for view in views[:2])
    assert not torch.equal(first, second)


def test_a_batch_can_come_from_several_chunks(
    weights: Path, few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, network = set_up(
        head_jobs.config(weights),
        head_jobs.find(few_digits),
        head_jobs.job(tmp_path),
        Stop(),
        Hooks(),
    )
    pictures = run.splits.train
    order = list(range(len(pictures)))[::-3]
    found = []
    for size in (2048, 64):
        monkeypatch.setattr(chunks, "SIZE", size)
        chosen = features.choose(run, network)
        assert chosen
        found.append(chosen.view(pictures, 0).batch(order))
    assert torch.equal(found[0].images, found[1].images)
    assert found[0].labels.tolist() == [pictures[i].label for i in order]


_opened: Counter[str] = Counter()
_counting = False


def _count(event: str, arguments: tuple[object, ...]) -> None:
    if _counting and event == "open" and str(arguments[0]).endswith(".png"):
        _opened[str(arguments[0])] += 1


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each picture's file is opened from now on, as Python itself counts it."""
    if not _opened:
        sys.addaudithook(_count)  # for good: Python has no way back
    _opened.clear()
    _opened["counting"] = 0
    monkeypatch.setattr(sys.modules[__name__], "_counting", True)
    return _opened


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 3},  # three views: decoded pictures are cached
        pytest.param({"epochs": 1}, marks=pytest.mark.slow),
        pytest.param({"epochs": 2, **PLAIN}, marks=pytest.mark.slow),
    ],
)
def test_no_picture_is_read_twice_to_train_if_nothing_is_stored_for_later_jobs(
    settings: dict[str, object],
    weights: Path,
    few_digits: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    splits = head_jobs.find(few_digits)
    opened = request.getfixturevalue("opened")
    loop.train(
        head_jobs.config(weights, **settings), splits, head_jobs.job(tmp_path), Stop(), Hooks()
    )
    assert {opened[str(one.path)] for one in splits.train} == {1}
    # Once to be tested, and once for their digests, by which a later job knows them.
    assert {opened[str(one.path)] for one in splits.test} <= {1, 2}
    again = [one for one in splits.valid if opened[str(one.path)] != 1]
    assert len(again) <= GOLDEN_PICTURES  # the bundle's golden inputs


def test_other_versions_of_the_decoder_compute_features_again(
    weights: Path, few_digits: Path, tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = versions.of_the_numbers()
    assert all(f"{name} {version(name)};" in found for name in ("torch", "torchvision", "pillow"))
    assert "libjpeg_turbo" in found
    counts = []
    for text in (found, f"{found}, a newer one"):
        monkeypatch.setattr(versions, "of_the_numbers", lambda text=text: text)
        head_jobs.train(tmp_path, few_digits, head_jobs.config(weights, epochs=1))
        shutil.rmtree(tmp_path / "checkpoints")
        counts.append(len(list(stored.iterdir())))
    assert counts == [2, 4]  # a view of the training pictures and the validation pictures


def test_features_of_another_engine_are_computed_again_and_train_the_same_head(
    weights: Path, few_digits: Path, tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = head_jobs.config(weights, epochs=1)
    from_torch = head_jobs.train(tmp_path / "1", few_digits, config)
    assert len(list(stored.iterdir())) == 2
    monkeypatch.setattr(backbone, "_WORTH_CONVERTING", 1)
    from_openvino = head_jobs.train(tmp_path / "2", few_digits, config)
    assert len(list(stored.iterdir())) == 4
    torch.testing.assert_close(from_openvino, from_torch, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_stopped_job_resumes_to_the_same_weights_with_openvino(
    weights: Path, few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "_WORTH_CONVERTING", 1)
    config = head_jobs.config(weights)
    whole = head_jobs.train(tmp_path / "whole", few_digits, config)
    with pytest.raises(Interrupted):
        head_jobs.train(tmp_path / "stopped", few_digits, config, head_jobs.StopAfter(9))
    assert torch.equal(head_jobs.train(tmp_path / "stopped", few_digits, config), whole)


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    store = chunks.Chunks(folder)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    chunk = chunks.Chunk(torch.rand(2, 3), torch.arange(2))
    with pytest.raises(chunks.ChunksError, match="set feature_views=0"):
        store.write("key", chunk)


@pytest.mark.slow
def test_the_bundle_is_calibrated_on_the_validation_pictures(
    weights: Path, few_digits: Path, tmp_path: Path
) -> None:
    found = []
    for name, settings in (
        ("job", head_jobs.config(weights)),
        ("sweep", head_jobs.config(weights, sweep='{"epochs": [3]}')),
    ):
        head_jobs.train(tmp_path / name, few_digits, settings)
        found.append(bundle.load(tmp_path / name / "model").description)
    job, sweep = found
    assert job.temperature != 1.0  # some answers are wrong
    assert sweep.temperature == pytest.approx(job.temperature, rel=1e-3)
    assert job.novelty
    assert sweep.novelty
    assert sweep.novelty.quantiles == pytest.approx(job.novelty.quantiles, rel=1e-3)

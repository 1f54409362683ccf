"""A job that is started again on other pictures never goes on: it is refused, or begins anew."""

import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from classifier import bundle
from pictures.picture import DataError
from tests.train import head_jobs, kill_and_resume
from train.config import ConfigError, TrainConfig
from train.features import features
from train.platform.stop import Interrupted

Change = Callable[[Path], None]


@pytest.fixture(autouse=True, scope="module")
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of ten pictures; the job splits them itself."""
    root = tmp_path_factory.mktemp("photos")
    draw = torch.Generator().manual_seed(0)
    for label in range(3):
        (root / f"c{label}").mkdir()
        for number in range(10):
            paint(root / f"c{label}" / f"{number}.png", draw, label)
    return root


def paint(path: Path, draw: torch.Generator, label: int) -> None:
    noise = torch.randint(0, 90, (24, 24, 3), generator=draw, dtype=torch.uint8)
    Image.fromarray((noise + 60 * label).numpy()).save(path)


def config(**settings: object) -> TrainConfig:
    given = {
        **{"architecture": "mobilenet_v3_small", "weights": "none", "trainable": "all"},
        **{
            "image_size": 32,
            "epochs": 2,
            "batch_size": 8,
            "workers": 0,
            "export": "none",
            "precision": "fp32",
        },
        **{"checkpoint_minutes": 1e-9, "cache_gib": 0},
    }
    return TrainConfig.model_validate(given | settings)


def weights(root: Path) -> dict[str, torch.Tensor]:
    return bundle.load(root / "model").network.state_dict()


def same(one: Path, other: Path) -> bool:
    """Whether two jobs made the same bundle, and so from the same pictures only."""
    mine, yours = weights(one), weights(other)
    return all(torch.equal(mine[name], yours[name]) for name in mine)


def interrupt(root: Path, data: Path, settings: TrainConfig, checks: int) -> None:
    with pytest.raises(Interrupted):
        head_jobs.train(root, data, settings, head_jobs.StopAfter(checks))
    assert list((root / "checkpoints").glob("step-*"))


def add_a_picture(root: Path) -> None:
    paint(root / "c0" / "new.png", torch.Generator().manual_seed(7), 0)


def add_a_class(root: Path) -> None:
    draw = torch.Generator().manual_seed(7)
    (root / "c9").mkdir()
    for number in range(5):
        paint(root / "c9" / f"{number}.png", draw, 2)


def remove_a_picture(root: Path) -> None:
    (root / "c1" / "3.png").unlink()


def rename_a_picture(root: Path) -> None:
    (root / "c1" / "3.png").rename(root / "c1" / "other.png")


def move_a_picture(root: Path) -> None:
    (root / "c1" / "3.png").rename(root / "c2" / "moved.png")


def replace_a_picture(root: Path) -> None:
    paint(root / "c1" / "3.png", torch.Generator().manual_seed(7), 2)


def split_by_folders(root: Path) -> None:
    """The same pictures, but people chose the test pictures."""
    for label in ("c0", "c1", "c2"):
        for number, part in [*((n, "train") for n in range(8)), (8, "valid"), (9, "test")]:
            (root / part / label).mkdir(parents=True, exist_ok=True)
            (root / label / f"{number}.png").rename(root / part / label / f"{number}.png")
        (root / label).rmdir()


CHANGES: list[Change] = [
    *(add_a_picture, add_a_class, remove_a_picture, rename_a_picture, move_a_picture),
    *(replace_a_picture, split_by_folders),
]
STORIES = [*CHANGES, *CHANGES]  # each with other moments of the interruptions


@pytest.fixture(scope="module")
def fresh(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Change], Path]:
    """Return a job that had the changed pictures from its beginning."""
    done: dict[Change, Path] = {}

    def train(change: Change) -> Path:
        if change not in done:
            root = tmp_path_factory.mktemp("fresh")
            shutil.copytree(photos, root / "photos")
            change(root / "photos")
            head_jobs.train(root, root / "photos", config())
            done[change] = root
        return done[change]

    return train


@pytest.mark.parametrize(
    ("number", "change"),
    [
        pytest.param(n, change, marks=[] if n == 6 else pytest.mark.slow)
        for n, change in enumerate(STORIES)
    ],
    ids=[f"{n} {change.__name__}" for n, change in enumerate(STORIES)],
)
def test_changed_pictures_are_refused_or_begun_anew(
    number: int,
    change: Change,
    photos: Path,
    tmp_path: Path,
    fresh: Callable[[Change], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The bundle is that of a job which never saw the pictures as they were."""
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    checks = random.Random(number).randint(1, 6)  # noqa: S311
    interrupt(tmp_path, data, config(), checks)
    change(data)
    with pytest.raises(DataError, match=r"changed .* set changed_data=restart to train anew"):
        head_jobs.train(tmp_path, data, config())
    capsys.readouterr()
    restart = config(changed_data="restart")
    again = random.Random(-number).randint(1, 5)  # noqa: S311
    interrupt(tmp_path, data, restart, again)
    assert capsys.readouterr().out.count("training begins anew") == 1
    head_jobs.train(tmp_path, data, restart)
    log = capsys.readouterr().out
    assert "resuming from step-" in log  # its own checkpoint, not that of the other pictures
    assert "training begins anew" not in log
    assert same(tmp_path, fresh(change))
    splits = head_jobs.find(data)
    assert not {one.path for one in splits.test} & {one.path for one in splits.train}


def test_the_message_has_the_counts(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    before = head_jobs.find(data)
    interrupt(tmp_path, data, config(), 1)
    add_a_class(data)
    after = head_jobs.find(data)
    with pytest.raises(DataError) as refused:
        head_jobs.train(tmp_path, data, config())
    for splits, classes in ((before, 3), (after, 4)):
        counts = ", ".join(f"{len(part)} {name}" for name, part in splits.parts().items())
        assert f"{counts}, {classes} classes" in str(refused.value)
    assert "the pictures changed" in str(refused.value)


def test_a_touched_and_moved_folder_is_the_same_data(photos: Path, tmp_path: Path) -> None:
    interrupt(tmp_path, photos, config(), 5)
    shutil.copytree(photos, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    head_jobs.train(tmp_path, tmp_path / "elsewhere", config())


def test_another_runs_checkpoints_are_not_removed(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    interrupt(tmp_path, data, config(), 5)
    add_a_picture(data)
    kept = set((tmp_path / "checkpoints").glob("step-*"))
    with pytest.raises(ConfigError, match=r"another run's checkpoint .batch_size was 8, is 4"):
        head_jobs.train(tmp_path, data, config(batch_size=4, changed_data="restart"))
    assert set((tmp_path / "checkpoints").glob("step-*")) == kept


def test_old_checkpoints_that_come_back_are_not_used(
    photos: Path,
    tmp_path: Path,
    fresh: Callable[[Change], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A checkpoint folder is copied from S3, where removed files can still be."""
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    interrupt(tmp_path, data, config(), 6)
    shutil.copytree(tmp_path / "checkpoints", tmp_path / "copy")
    add_a_picture(data)
    restart = config(changed_data="restart")
    interrupt(tmp_path, data, restart, 3)
    capsys.readouterr()
    shutil.copytree(tmp_path / "copy", tmp_path / "checkpoints", dirs_exist_ok=True)
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 4
    head_jobs.train(tmp_path, data, restart)
    log = capsys.readouterr().out
    assert "resuming from step-" in log
    assert "training begins anew" not in log
    assert same(tmp_path, fresh(add_a_picture))


@pytest.mark.slow
def test_stored_features_are_never_of_the_pictures_before(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One folder of features for all: a key holds the contents of its pictures."""
    monkeypatch.setenv(features.FOLDER, str(tmp_path / "features"))
    settings = head_jobs.config(
        head_jobs.backbone(tmp_path, 3), batch_size=8, augment="none", horizontal_flip=False
    )
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    restart = settings.model_copy(update={"changed_data": "restart"})
    interrupt(tmp_path / "job", data, settings, 8)
    replace_a_picture(data)
    with pytest.raises(DataError, match="the pictures changed"):
        head_jobs.train(tmp_path / "job", data, settings)
    head = head_jobs.train(tmp_path / "job", data, restart)
    monkeypatch.delenv(features.FOLDER)
    assert torch.equal(head, head_jobs.train(tmp_path / "fresh", data, settings))


@pytest.mark.slow
def test_a_job_killed_while_its_pictures_grow_is_the_job_of_the_last_ones(
    photos: Path, tmp_path: Path
) -> None:
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    counter = itertools.count()

    def grow() -> None:
        number = next(counter)
        draw = torch.Generator().manual_seed(100 + number)
        paint(data / "c1" / f"grown-{number}.png", draw, 1)

    settings = {"changed_data": "restart"}
    killed = kill_and_resume.survive(
        tmp_path / "killed", data, 2, kills=3, seed=3, between=grow, settings=settings
    )
    assert killed == 3
    kill_and_resume.survive(tmp_path / "fresh", data, 2, kills=0, seed=0, settings=settings)
    assert same(tmp_path / "killed", tmp_path / "fresh")

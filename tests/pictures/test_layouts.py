"""Folders as people have them: the check and the job have the same verdict, and neither is silent.

The job reads with its own code: its hyperparameters, its channels, its pictures, its limit of
unreadable ones.
"""

from pathlib import Path

import pytest

from pictures import channels
from pictures.picture import NONE_READABLE, DataError
from tests.pictures.layout_cases import CASES
from tests.pictures.layouts import Case
from tests.scripts.kennel import kennel
from tests.train import head_jobs
from tests.train.recorded import Recorded
from train.batches.batch import Unreadable
from train.batches.loading import Pictures
from train.config import TrainConfig


def job(folder: Path) -> tuple[bool, str]:
    """Return whether a job would read this channel, and what it says."""
    config = TrainConfig()
    said: list[str] = []
    try:
        splits = channels.find(
            {"photos": folder},
            split_seed=config.split_seed,
            valid_fraction=config.valid_fraction,
            test_fraction=config.test_fraction,
        )
        said += [f"{sum(map(len, splits.parts().values()))} pictures in {len(splits.folders)} cla"]
        said += splits.notes
        unreadable = Unreadable(config.max_unreadable, sum(map(len, splits.parts().values())))
        for part, pictures in splits.parts().items():
            dataset = Pictures(pictures, head_jobs.TRANSFORM, seed=0)
            items = dataset.__getitems__([(0, index) for index in range(len(pictures))])
            bad = [item for item in items if len(item) == 2]
            said += [f"{path}: {why}" for path, why in bad]
            unreadable.add(bad)
            if part != "train" and pictures and len(bad) == len(pictures):
                raise DataError(NONE_READABLE)
    except DataError as error:
        return False, "\n".join([*said, str(error)])
    return True, "\n".join(said)


def test_there_are_enough_layouts_with_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_check_and_the_job_have_one_verdict(case: Case, tmp_path: Path) -> None:
    folder = case.make(tmp_path / "photos")
    checked = kennel("data", "check", str(folder))
    good, said = job(folder)
    report = checked.out + checked.err
    assert (checked.code == 0, good) == (case.trains, case.trains), report + said
    for word in case.words:
        assert word in report
        assert word.removesuffix("sses") in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["Train and Test", "splits inside classes", "a picture in two classes", "files of text"]
)
def test_a_whole_job_has_the_verdict_too(name: str, tmp_path: Path) -> None:
    (case,) = (case for case in CASES if case.name == name)
    folder = case.make(tmp_path / "photos")
    settings = {"debugger": False, "profiler": False, "epochs": 1, "batch_size": 4}
    made = Recorded.lay_out(tmp_path / "job", folder, **settings)
    if case.trains:
        made.run()
        return
    with pytest.raises(DataError) as caught:
        made.run()
    for word in case.words:
        assert word in str(caught.value)

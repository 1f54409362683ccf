"""`kennel writeup` about folders: recordings and outputs of jobs, without AWS."""

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from debugger import records
from debugger.records import Phase, Record, Step
from tests.debugger.recorded import START, Made
from tests.scripts.kennel import kennel
from tests.scripts.writeup import rendered

# As the job that users describe: 73 s of initialisation, and a third neither TRAIN nor EVAL.
PLANTED = Made(
    steps=1_200,
    epochs=3,
    initialisation=73.0,
    finalisation=11.0,
    evaluation=20.0,
    between=0.05,
    slow_every=60,
    slow=4.0,
    layers=2,
    samples_every=5.0,
    classes=("cat", "dog"),
)
QUICK = Made(steps=60, epochs=2, layers=2, samples_every=5.0, classes=("cat", "dog"))


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def written(*arguments: str) -> rendered.Page:
    done = kennel("writeup", *arguments)
    assert done.code == 0, done.err
    return rendered.page(Path(done.out.strip()))


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in:\n{text}"
    return float(found[1].replace(",", ""))


def summed(stream: list[Record]) -> dict[str, float]:
    """What was planted, added up from the records alone."""
    steps = [one for one in stream if isinstance(one, Step)]
    last = max(one.at for one in stream if isinstance(one, Phase) and one.name == "evaluation")
    evaluation = sum(
        one.seconds for one in stream if isinstance(one, Phase) and one.name == "evaluation"
    )
    train = sum(one.seconds - one.took(records.DATA_WAIT) for one in steps)
    loop = last - START - PLANTED.initialisation
    end = max(one.at for one in stream)
    return {
        "total": end - START,
        "loop": loop,
        "train": train,
        "evaluation": evaluation,
        "outside": loop - train - evaluation,
        "finalisation": end - last,
    }


def test_planted_times_are_in_the_sentences(at: Path, nowhere: None) -> None:
    PLANTED.write(at / "job")
    planted = summed(list(PLANTED.records()))
    assert planted["outside"] / planted["loop"] == pytest.approx(1 / 3, abs=0.02)
    text = " ".join(written("job").text.split())

    def close(to: float) -> object:
        return pytest.approx(to, rel=0.02)

    assert "The job started on 2023-11-14 at 22:13:20 UTC and ran" in text
    assert number(r"and ran ([\d,]+) s in all", text) == close(planted["total"])
    assert number(r"([\d,]+) s in the training loop", text) == close(planted["loop"])
    assert number(r"([\d,]+) s for initialisation", text) == close(PLANTED.initialisation)
    assert number(r"([\d,.]+) s for finalisation", text) == close(planted["finalisation"])
    assert number(r"was TRAIN \(([\d,]+) s\)", text) == close(planted["train"])
    assert number(r"EVAL \(([\d,]+) s\)", text) == close(planted["evaluation"])
    outside = number(r"([\d,]+) % of it \([\d,]+ s\) was neither TRAIN nor EVAL", text)
    assert outside == close(100 * planted["outside"] / planted["loop"])
    assert number(r"% of it \(([\d,]+) s\) was neither", text) == close(planted["outside"])
    assert number(r"Outliers: ([\d,]+) steps took over", text) == 1_200 / 60
    assert "mostly every 60 steps" in text
    assert "mainly in data wait" in text
    report = json.loads(kennel("report", "job", "--json").out)
    (rule,) = (one for one in report["rules"] if one["rule"] == "StepOutlier")
    assert rule["status"] == "fired"
    times = rf"StepOutlier triggered (?:most: )?{rule['times']} times, "
    assert re.search(times + rf"with {rule['datapoints']:,} datapoints", text)


def test_the_sections_and_the_pictures(at: Path, nowhere: None) -> None:
    QUICK.write(at / "job")
    page = written("job", "--instance", "ml.g5.xlarge")
    assert page.headings[:3] == [
        f"Write-up of {QUICK.job}",
        "Jobs",
        f"Metrics of {QUICK.job}",
    ]
    for title in ("Rules", "What to do", "Predictions", "What it cost", "How to repeat it"):
        assert title in page.headings
    folder = at / "job-writeup"
    assert page.all("img", "src") == ["curves-1.png", "times-1.png"]
    for name in ("curves-1.png", "times-1.png"):
        with Image.open(folder / name) as picture:
            assert picture.format == "PNG"
            assert picture.width == 1_200
            assert len(picture.convert("L").getcolors() or []) > 20
    assert page.all("a", "href") == ["report-1.html"]
    assert "The job completed" in (folder / "report-1.html").read_text()
    assert "s of running time: $0." in page.text
    assert "estimate: us-east-1 on-demand prices" in page.text
    epochs = [row for row in page.cells if row[0] in ("1", "2") and len(row) == 5]
    assert [row[4] for row in epochs] == ["0.594", "0.84"]
    again = kennel("writeup", "job")  # replaces it
    assert again.code == 0, again.err


@pytest.mark.slow
def test_several_folders_are_compared(at: Path, nowhere: None) -> None:
    for number_, (rate, batch) in enumerate(((0.01, 32), (0.1, 32), (0.01, 64), (0.1, 64))):
        made = Made(steps=20, epochs=1, layers=1, samples_every=50.0, job=f"trial-{number_}")
        folder = made.write(at / f"job{number_}")
        text = (file := folder / "algo-1-0" / "000001.jsonl").read_text()
        text = text.replace(
            '"learning_rate":0.01,', f'"learning_rate":{rate},"batch_size":{batch},'
        )
        best = 0.5 + number_ / 10
        text = re.sub(r'("name":"validation:accuracy".*?"value":)[\d.]+', rf"\g<1>{best}", text)
        file.write_text(text)
    page = written(*(f"job{number_}" for number_ in range(4)), "--out", "all")
    assert "The jobs compared" in page.headings
    assert "tuning-1.png" in page.all("img", "src")
    (header,) = (row for row in page.cells if row[:2] == ["", "validation:accuracy"])
    assert header[2:4] == ["learning_rate", "batch_size"]
    (best_row,) = (row for row in page.cells if row[0] == "best")
    assert best_row[1:4] == ["0.8", "0.1", "64"]
    assert ["learning_rate", "0.1"] in page.cells


def test_the_output_of_a_job_without_a_recording(at: Path, nowhere: None) -> None:
    history = [{"epoch": 1, "train:loss": 2.0, "validation:accuracy": 0.5},
               {"epoch": 2, "train:loss": None, "validation:accuracy": 0.75}]  # fmt: skip
    Path("data").mkdir()
    Path("data/metrics.json").write_text(json.dumps({"history": history, "best_epoch": 2}))
    trials = [{"trial": 0, "learning_rate": 0.1, "batch_size": 16, "validation:accuracy": 0.5},
              {"trial": 1, "learning_rate": 0.2, "batch_size": 32, "validation:accuracy": 0.9},
              {"trial": 2, "learning_rate": 9.0, "batch_size": 32, "epochs_run": 1}]  # fmt: skip
    Path("data/sweep.json").write_text(json.dumps({"trials": trials}))
    with tarfile.open("output.tar.gz", "w:gz") as archive:
        archive.add("data")
    page = written("output.tar.gz")
    assert page.all("img", "src") == ["curves-1.png", "tuning-1.png"]
    assert [row[0] for row in page.cells if row[-1].startswith("trial ")] == ["best", "", ""]
    assert "There is no report: output.tar.gz holds no recording" in page.text
    (diverged,) = (row for row in page.cells if row[-1] == "trial 2")
    assert "Diverged" in diverged


def test_the_report_of_the_job_itself_is_enough(at: Path, nowhere: None) -> None:
    QUICK.write(at / "recording")
    facts = kennel("report", "recording", "--json").out
    shutil.rmtree("recording")
    Path("output").mkdir()
    Path("output/report.json").write_text(facts)
    page = written("output")
    assert f"Metrics of {QUICK.job}" in page.headings
    assert "The job started on 2023-11-14 at 22:13:20 UTC" in page.text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("empty",), "kennel: empty holds no recording"),
        (("empty", "nothing-here"), "no file or folder is called nothing-here"),
        (("empty", "--endpoint", "x"), "--endpoint and --photo together"),
        (("empty", "--instance", "g5.xlarge"), "--instance g5.xlarge: no known price"),
        (("dogs-1", "--instance", "ml.g5.xlarge"), "--instance is for folders"),
        (("full", "--out", "full"), "full has other files, such as mine.txt"),
        (("empty", "--out", "full/mine.txt"), "mine.txt: Not a directory: give a folder"),
    ],
)
def test_what_cannot_be_written_up(
    arguments: tuple[str, ...], says: str, at: Path, nowhere: None
) -> None:
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    done = kennel("writeup", *arguments)
    assert done.code == 1
    assert says in done.err
    assert Path("full/mine.txt").read_text() == "mine"


def test_a_dry_run_prints_the_requests(nowhere: None) -> None:
    done = kennel("writeup", "dogs-1", "--dry-run")
    operations = [one["operation"] for one in json.loads(done.out)]
    assert operations == [
        "DescribeTrainingJob", "DescribeHyperParameterTuningJob", "DescribeTransformJob",
    ]  # fmt: skip

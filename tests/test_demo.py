"""`make demo`: photos, tuning, training and predictions, on real digits and the emulator."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.console import progress
from scripts.make import demo as running
from scripts.make.demo import kennel

ROOT = Path(__file__).parents[1]
SPEC = (ROOT / "experiments" / "digits.toml").read_text()


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "scripts.make.demo", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    # The precision of training: no digit between two classes may change its class.
    spec = tmp_path / "digits.toml"
    exact = '[endpoint]\nenvironment = {KENNEL_PRECISION = "fp32"}\n'
    spec.write_text(SPEC.replace("[endpoint]\n", exact))
    out = tmp_path / "out"
    result = demo("--out", str(out), "--spec", str(spec))
    assert result.returncode == 0, result.stdout + result.stderr
    verbs = re.findall(r"^\$ kennel (.*?)(?: [/{].*| s3.*| --.*)?$", result.stdout, re.MULTILINE)
    assert [verb.split()[0] for verb in verbs] == [
        *"emulator data data tune best train status report".split(),
        *"deploy predict predict writeup down".split(),
    ]
    trained = re.search(r"test:accuracy: (\S+)", result.stdout)
    served = re.search(r"^test accuracy (\S+)$", result.stdout, re.MULTILINE)
    assert trained
    assert served
    assert float(served.group(1)) >= 0.95
    # Serving is as accurate as training measured.
    assert float(served.group(1)) == pytest.approx(float(trained.group(1)), abs=1e-4)
    assert f"report: {out / 'report.html'}" in result.stdout
    assert f"write-up: {out / 'writeup' / 'writeup.md'}" in result.stdout
    written = (out / "writeup" / "writeup.md").read_text()
    for title in (
        "## Jobs",
        "### The best hyperparameters",
        "## Predictions",
        "## How to repeat it",
    ):
        assert title in written
    pictures = set(re.findall(r"^!\[.*\]\((.*)\)$", written, re.MULTILINE))
    assert {"curves-1.png", "tuning-1.png", "times-1.png", "prediction-3.png"} <= pictures
    assert all((out / "writeup" / name).is_file() for name in pictures)
    page = (out / "report.html").read_text()
    assert "The job completed in " in page
    for text in (
        "resnet18",
        "test accuracy",
        "Data wait",
        "best validation accuracy",
        "StepOutlier",
    ):
        assert text in page


def test_a_wrong_spec_stops_it_immediately(tmp_path: Path) -> None:
    spec = tmp_path / "wrong.toml"
    spec.write_text(SPEC.replace("batch_size = 32", "batch_size = 0"))
    earlier = tmp_path / "o" / "earlier"
    earlier.mkdir(parents=True)
    result = demo("--out", str(tmp_path / "o"), "--spec", str(spec))
    assert result.returncode == 1
    assert "batch_size: Input should be greater than or equal to 2" in result.stderr
    assert result.stdout == ""
    assert earlier.is_dir()  # the files of an earlier demo


def test_a_failing_verb_stops_it_with_its_whole_output(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no class folders(?s:.*)the demo stops here"):
        kennel("data", "check", str(tmp_path))


def test_a_long_step_shows_its_last_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "PATIENCE_S", 0.0)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.2)
    script = (
        "import sys, time; "
        "print('   12 s  1 of 4 trials done\\x1b[31m', file=sys.stderr, flush=True); "
        "time.sleep(1); print('result')"
    )
    done = running.watched([sys.executable, "-c", script], "tune")
    assert (done.returncode, done.stdout) == (0, "result\n")
    assert done.stderr.startswith("   12 s  1 of 4")
    assert " s  tune: 1 of 4 trials done\n" in capsys.readouterr().err

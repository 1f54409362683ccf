"""`make demo`: the whole way, on real digits."""

import re
import subprocess
import sys
from pathlib import Path

from classifier import bundle


def test_the_demo_trains_serves_and_answers(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "scripts.demo", "--out", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    trained = re.search(r"test accuracy (\S+) on 269 pictures", result.stdout)
    served = re.search(r"^test accuracy (\S+)$", result.stdout, re.MULTILINE)
    assert trained
    assert served
    assert float(served.group(1)) >= 0.95
    assert served.group(1) == trained.group(1)  # what was measured in training is what is served
    assert bundle.load(tmp_path / "demo" / "model").description.architecture == "resnet18"


def test_a_failing_spec_ends_with_the_reason(tmp_path: Path) -> None:
    spec = tmp_path / "wrong.toml"
    spec.write_text("[hyperparameters]\nepochs = 0\n")
    result = subprocess.run(
        [sys.executable, "-m", "scripts.demo", "--out", str(tmp_path / "o"), "--spec", str(spec)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "epochs: Input should be greater than or equal to 1 (given 0)" in result.stderr

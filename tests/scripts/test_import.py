"""`kennel import`, as a user runs it: from a file to a model.tar.gz that loads."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from classifier import bundle, networks
from scripts.cli import app


def kennel(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.cli", "import", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
def test_a_state_dict_becomes_an_archive_that_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights, classes = tmp_path / "-w.pth", tmp_path / "classes.txt"
    torch.save(networks.build("shufflenet_v2_x0_5", 2).state_dict(), weights)
    classes.write_text("cat\ndog\n")
    out = tmp_path / "new" / "model.tar.gz"
    given = ["--architecture", "ShuffleNetV2-x0.5", "--classes", str(classes)]
    given += ["--image-size", "64", "--resize", "80", "--mean", "-0.5,0.5,0.5"]
    given += ["--interpolation", "bicubic"]
    done = kennel(tmp_path, *given, str(weights), str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{out}: shufflenet_v2_x0_5 with 2 classes\n")
    with tarfile.open(out) as archive:
        assert sorted(archive.getnames()) == sorted(bundle.FILES)
        archive.extractall(tmp_path / "unpacked", filter="data")
    loaded = bundle.load(tmp_path / "unpacked")
    transform = loaded.description.transform
    assert (transform.crop, transform.resize) == (64, 80)
    assert (transform.mean, transform.interpolation) == ((-0.5, 0.5, 0.5), "bicubic")
    assert bundle.replay(loaded) < bundle.TOLERANCE
    again = kennel(tmp_path, *given, str(weights), str(out))
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"kennel: {out} exists already: remove it, or give another name\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--mean", "0.5", "--mean 0.5: give three numbers for red, green and blue"),
        ("--resize", "100", "crop 224 is larger than resize 100"),
        ("--photos", "/nowhere", "no folder of photos at /nowhere"),
    ],
)
def test_a_wrong_option_is_one_line(option: str, value: str, problem: str, tmp_path: Path) -> None:
    torch.save(networks.build("squeezenet1_1", 2).state_dict(), tmp_path / "w.pth")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    given = ["--architecture", "squeezenet1_1", "--classes", str(tmp_path / "classes.txt")]
    done = kennel(tmp_path, *given, option, value, str(tmp_path / "w.pth"), str(tmp_path / "out"))
    assert done.returncode == 1
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_help_fits_into_80_columns() -> None:
    shown = CliRunner().invoke(app, ["import", "--help"], env={"COLUMNS": "80"}).output
    assert "--architecture" in shown
    assert max(map(len, shown.splitlines())) <= 80

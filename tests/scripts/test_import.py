"""`kennel import`, as a user runs it: from a file to a model.tar.gz that loads."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from classifier import bundle, import_command, networks
from classifier.exporting import command
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
    assert "so as for the pretrained weights of shufflenet_v2_x0_5: std\n" in done.stdout
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
        ("--mean", "123.675,116.28,103.53", "if these are of 0 to 255, give --mean 0.485,0.456,0"),
        ("--std", "nan,1,1", "colours are numbers of 0 to 1 here"),
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


@pytest.mark.parametrize("name", ["model.zip", "model.tar", "MODEL.TAR.GZ"])
def test_a_name_of_another_archive_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    """A folder of this name would be uploaded, and found out there."""
    with pytest.raises(ValueError, match=r"a bundle is a folder or a \.tar\.gz"):
        import_command.check_free(tmp_path / name)
    with pytest.raises(ValueError, match=r"a bundle is a folder or a \.tar\.gz"):
        command.export(tmp_path, tmp_path / name, None)


def test_an_archive_without_a_bundle_is_named_and_not_where_it_was_unpacked(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"weights")
    packed = tmp_path / "model.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(tmp_path / "w.pth", "w.pth")
    with pytest.raises(
        bundle.BundleError, match=rf"no kennel\.json in {re.escape(str(packed))}: w"
    ):
        command.export(packed, tmp_path / "out", None)


def test_the_help_fits_into_80_columns() -> None:
    shown = CliRunner().invoke(app, ["import", "--help"], env={"COLUMNS": "80"}).output
    assert "--architecture" in shown
    assert max(map(len, shown.splitlines())) <= 80

"""Script mode: each way to start a user's script, with one that succeeds and one that fails."""

import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.opt_ml import OptMl
from train.platform import script

TORCH = "sagemaker_torch_distributed_enabled"


@pytest.mark.parametrize("value", [True, "true", '"true"', "True", 1])
def test_a_hyperparameter_is_on(value: object) -> None:
    assert script.is_on(value)


@pytest.mark.parametrize("value", [False, "false", None, "", 0])
def test_a_hyperparameter_is_off(value: object) -> None:
    assert not script.is_on(value)


def run(
    root: Path, code: str, requirements: str = "", **hyperparameters: object
) -> tuple[OptMl, int, str]:
    """Run a job with a script `mine.py`, as the SDKs send it; return it, its exit code and log."""
    source = root / "source"
    source.mkdir(parents=True)
    (source / "mine.py").write_text(code)
    if requirements:
        (source / "requirements.txt").write_text(requirements)
    archive = root / "sourcedir.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, ".")
    given = {"sagemaker_program": "mine.py", "sagemaker_submit_directory": str(archive)}
    job = OptMl.lay_out(root / "ml", {}, given | hyperparameters)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # torchrun, as in the image
    exit_code, log = job.run(timeout=300, SM_STUDIO_LOCAL_MODE="true", PATH=path)  # not "algo-1"
    return job, exit_code, log


@pytest.mark.slow
def test_the_exit_code_under_torchrun_is_the_job_s(tmp_path: Path) -> None:
    """Without torchrun: tests/train/test_entry.py."""
    given: dict[str, Any] = {TORCH: True}
    _, code, log = run(tmp_path / "good", "print('trained')", **given)
    assert (code, "trained" in log) == (0, True), log
    bad, code, log = run(tmp_path / "bad", "raise RuntimeError('my own mistake')", **given)
    assert code == 1, log
    assert "my own mistake" in bad.failure
    assert "mine.py ended with exit code 1" in bad.failure


@pytest.mark.slow
def test_a_launcher_that_the_image_lacks_is_refused_by_name(tmp_path: Path) -> None:
    job, code, log = run(tmp_path, "print('started')", sagemaker_mpi_enabled=True)
    assert code == 1
    assert "started" not in log
    assert job.failure.startswith("ConfigError: sagemaker_mpi_enabled: this image starts")
    assert TORCH in job.failure


@pytest.mark.slow
def test_requirements_that_cannot_be_installed_are_the_reason(tmp_path: Path) -> None:
    job, code, log = run(tmp_path, "print('started')", requirements="./no-such-package.whl")
    assert code == 1
    assert "started" not in log
    assert "no-such-package.whl" in job.failure
    assert "pip install -r requirements.txt ended with exit code 1" in job.failure


def test_every_launcher_of_the_toolkit_is_supported_or_refused() -> None:
    """A new release of the toolkit with another launcher fails here."""
    environment = pytest.importorskip("sagemaker_training.environment")
    source = Path(environment.__file__).read_text()
    names = {
        part for part in source.split('"') if part.startswith("sagemaker_") and "enabled" in part
    }
    assert names == {TORCH, *script.UNSUPPORTED}

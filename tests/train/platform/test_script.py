"""Script mode: each way to start a user's script, with one that succeeds and one that fails."""

import inspect
import os
import re
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
    root: Path, code: str | dict[str, str], requirements: str = "", **hyperparameters: object
) -> tuple[OptMl, int, str]:
    """Run a job with a user's code, as the SDKs send it; return it, its exit code and log.

    `code` is a script `mine.py`, or the files of the code by their names.
    """
    source = root / "source"
    source.mkdir(parents=True)
    for name, text in (code if isinstance(code, dict) else {"mine.py": code}).items():
        (source / name).write_text(text)
    if requirements:
        (source / "requirements.txt").write_text(requirements)
    archive = root / "sourcedir.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, ".")
    given = {"sagemaker_program": "mine.py", "sagemaker_submit_directory": str(archive)}
    job = OptMl.lay_out(root / "ml", {}, given | hyperparameters)
    variables = {
        "SM_STUDIO_LOCAL_MODE": "true",  # the name "algo-1" is not looked up
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # torchrun, as in the image
        # A package is installed beside the job, and not into this environment.
        "PIP_TARGET": str(root / "packages"),
        "PIP_NO_BUILD_ISOLATION": "1",
        "PYTHONPATH": os.pathsep.join([str(root / "packages"), str(Path.cwd())]),
    }
    exit_code, log = job.run(timeout=300, **variables)
    return job, exit_code, log


GOOD, BAD = "print('trained')", "raise SystemExit('my own mistake')"
PACKAGE = "from setuptools import setup; setup(name='mine', version='1', py_modules=['mine'])"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "good", "bad", "code", "given"),
    [
        ("mine.py", {"mine.py": GOOD}, {"mine.py": BAD}, 1, {}),
        ("mine.py", {"mine.py": GOOD}, {"mine.py": BAD}, 1, {TORCH: True}),
        (
            "mine.sh",
            {"mine.sh": "#!/bin/sh\necho trained"},
            {"mine.sh": "#!/bin/sh\necho my own mistake >&2; exit 3"},
            3,
            {},
        ),
        (
            "mine",  # a package: its files are installed
            {"mine.py": GOOD, "setup.py": PACKAGE},
            {"mine.py": BAD, "setup.py": PACKAGE},
            1,
            {},
        ),
    ],
    ids=["program", "torchrun", "command", "package"],
)
def test_the_exit_code_of_each_kind_of_script_is_the_job_s(
    program: str,
    good: dict[str, str],
    bad: dict[str, str],
    code: int,
    given: dict[str, Any],
    tmp_path: Path,
) -> None:
    given = given | {"sagemaker_program": program}
    _, exit_code, log = run(tmp_path / "good", good, **given)
    assert (exit_code, "trained" in log) == (0, True), log
    job, exit_code, log = run(tmp_path / "bad", bad, **given)
    assert exit_code == 1, log
    assert "my own mistake" in job.failure
    assert f"{program} ended with exit code {code}" in job.failure


@pytest.mark.slow
def test_a_launcher_that_the_image_lacks_is_refused_by_name(tmp_path: Path) -> None:
    job, code, log = run(tmp_path, GOOD, sagemaker_mpi_enabled=True)
    assert code == 1
    assert "trained\n" not in log
    assert job.failure.startswith("ConfigError: sagemaker_mpi_enabled: this image starts")
    assert TORCH in job.failure


@pytest.mark.slow
def test_a_launcher_is_refused_for_kennel_s_own_training_too(tmp_path: Path) -> None:
    given = {"sagemaker_distributed_dataparallel_enabled": True}
    job = OptMl.lay_out(tmp_path / "ml", {}, given)
    code, _ = job.run(timeout=300, SM_STUDIO_LOCAL_MODE="true")
    assert code == 1
    assert job.failure.startswith("ConfigError: sagemaker_distributed_dataparallel_enabled: this")


@pytest.mark.slow
def test_requirements_that_cannot_be_installed_are_the_reason(tmp_path: Path) -> None:
    job, code, log = run(tmp_path, GOOD, requirements="./no-such-package.whl")
    assert code == 1
    assert "trained\n" not in log
    assert "no-such-package.whl" in job.failure
    assert "pip install -r requirements.txt ended with exit code 1" in job.failure


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("/nowhere/sourcedir.tar.gz", "FileNotFoundError"),
        ("s3://bucket/sourcedir.tar.gz", "EndpointConnectionError|ProxyConnectionError"),
        ("{root}/torn.tar.gz", "EOFError|ReadError"),
    ],
    ids=["path", "S3", "torn"],
)
def test_code_that_cannot_be_fetched_is_the_reason(
    place: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "mine")
    for name in ("S3_ENDPOINT_URL", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with tarfile.open(tmp_path / "torn.tar.gz", "w:gz") as tar:
        tar.add(__file__, "mine.py")
    whole = (tmp_path / "torn.tar.gz").read_bytes()
    (tmp_path / "torn.tar.gz").write_bytes(whole[: len(whole) // 2])
    place = place.format(root=tmp_path)
    job, code, _ = run(tmp_path / "job", GOOD, sagemaker_submit_directory=place)
    assert code == 1
    assert re.match(rf"the code at {place} cannot be fetched: ({cause}): ", job.failure)
    assert "sagemaker_submit_directory must be an archive" in job.failure


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for the toolkit, which makes one in the user's home when it is imported."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))


def test_every_launcher_of_the_toolkit_is_supported_or_refused(base: None) -> None:
    environment = pytest.importorskip("sagemaker_training.environment")
    source = Path(environment.__file__).read_text()
    names = {
        part for part in source.split('"') if part.startswith("sagemaker_") and "enabled" in part
    }
    assert {name for name in names if not script.is_launcher(name)} == {TORCH}
    assert "sagemaker_parameter_server_enabled" in names


def test_every_runner_of_the_toolkit_is_called_by_the_names_it_has(base: None) -> None:
    """By position two of them would not wait, and report a script that fails as a success."""
    runner = pytest.importorskip("sagemaker_training.runner")
    for module, name in (
        *((runner.process, "ProcessRunner"), (runner.torch_distributed, "TorchDistributedRunner")),
        *((runner.mpi, "MasterRunner"), (runner.mpi, "WorkerRunner")),
        (runner.smdataparallel, "SMDataParallelRunner"),
        (runner.pytorch_xla, "PyTorchXLARunner"),
    ):
        parameters = inspect.signature(getattr(module, name).run).parameters
        assert {"wait", "capture_error"} <= parameters.keys(), name

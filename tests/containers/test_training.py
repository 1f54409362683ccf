"""SageMaker's training contract, tested by `docker run` on the subfolders of /opt/ml."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from classifier import bundle
from scripts import docker
from tests.containers.conftest import HYPERPARAMETERS
from tests.containers.engine import Images, Job
from tests.train.recording.test_smdebug_script import SCRIPT as SMDEBUG_SCRIPT

pytestmark = pytest.mark.docker

SCRIPT = """
import argparse, json, os
from sibling import ANSWER  # another module of the user

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int)
rounds = parser.parse_args().rounds
if rounds < 0:
    raise ValueError(f"rounds must not be negative: {rounds}")
import torch
result = {"rounds": rounds, "answer": ANSWER, "torch": torch.__version__}
result["interface"] = os.environ["NCCL_SOCKET_IFNAME"]
result["classes"] = sorted(os.listdir(os.environ["SM_CHANNEL_TRAIN"]))
with open(os.path.join(os.environ["SM_MODEL_DIR"], "mine.json"), "w") as file:
    json.dump(result, file)
"""


def test_train_writes_a_bundle(trained: tuple[Job, str], few_digits: Path) -> None:
    job, log = trained
    loaded = bundle.load(job.root / "model")
    assert loaded.description.classes == tuple("0123456789")
    assert bundle.replay(loaded) < bundle.TOLERANCE
    assert "validation:accuracy=" in log
    assert not (job.root / "output" / "failure").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_job_runs_as_its_caller_and_its_outputs_belong_to_them(
    images: Images, few_digits: Path, tmp_path: Path
) -> None:
    """As `make local-train` runs it."""
    job = Job.prepare(tmp_path, {"train": few_digits}, HYPERPARAMETERS)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(path, 1234, 1234)
    done = images.run(*docker.as_user(1234, 1234), *job.options, images.train, "train")
    assert done.returncode == 0, done.stdout
    written = [path for path in (job.root / "model").rglob("*") if path.is_file()]
    assert "kennel.json" in {path.name for path in written}
    assert {path.stat().st_uid for path in written} == {1234}


@pytest.mark.parametrize("command", [["train"], []], ids=["train", "no argument"])
def test_a_failing_job_writes_the_reason(
    images: Images, few_digits: Path, tmp_path: Path, command: list[str]
) -> None:
    wrong = HYPERPARAMETERS | {"architecture": "resnet81"}
    job = Job.prepare(tmp_path, {"train": few_digits / "train"}, wrong)
    done = images.run(*job.options, images.train, *command)
    assert done.returncode == 1, done.stdout
    assert "resnet81" in job.failure.splitlines()[0] + job.failure.splitlines()[1]
    assert "Traceback (most recent call last)" in job.failure
    assert not list((job.root / "model").iterdir())


def test_sigterm_writes_a_checkpoint_and_a_restart_continues(
    images: Images, few_digits: Path, tmp_path: Path
) -> None:
    # More epochs than fit into the test.
    job = Job.prepare(tmp_path, {"train": few_digits}, HYPERPARAMETERS | {"epochs": 10000})
    with images.container(*job.options, images.train, "train") as first:
        first.wait_for(lambda: "epoch=2" in first.log, 300)
        # The toolkit has replaced the entrypoint: no shell can hold back the signal.
        process = images.call("exec", first.name, "cat", "/proc/1/cmdline").stdout
        assert process.split("\0")[1] == "/opt/venv/bin/train"
        assert first.stop(grace_s=90) < 60
        assert first.exit_code == 0, first.log
    saved = job.checkpoints[-1]
    with images.container(*job.options, images.train, "train") as second:
        second.wait_for(lambda: f"resuming from {saved.name}" in second.log, 120)
        second.wait_for(lambda: "[metric] validation:loss=" in second.log, 300)
        assert "epoch=1\n" not in second.log
        second.stop(grace_s=90)
        assert second.exit_code == 0, second.log


@pytest.mark.parametrize("packed", [True, False], ids=["sourcedir.tar.gz", "folder"])
def test_a_users_own_script_runs(
    images: Images, few_digits: Path, tmp_path: Path, packed: bool
) -> None:
    job = script_job(few_digits, tmp_path, packed=packed, rounds=3)
    done = images.run(*job.options, images.train, "train")
    assert done.returncode == 0, done.stdout
    mine = json.loads((job.root / "model" / "mine.json").read_text())
    assert mine["rounds"] == 3
    assert mine["answer"] == 42
    assert mine["interface"] == "eth0"
    assert mine["classes"] == list("0123456789")


def test_a_failing_script_writes_the_reason(
    images: Images, few_digits: Path, tmp_path: Path
) -> None:
    job = script_job(few_digits, tmp_path, packed=True, rounds=-1)
    done = images.run(*job.options, images.train, "train")
    assert done.returncode == 1, done.stdout
    assert "ValueError: rounds must not be negative: -1" in job.failure
    assert "train_me.py" in job.failure


def test_a_users_own_script_imports_smdebug(
    images: Images, few_digits: Path, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text(SMDEBUG_SCRIPT.replace("sys.argv[1]", "'/opt/ml/model/tensors'"))
    given = {"sagemaker_program": "train.py"}
    given["sagemaker_submit_directory"] = "/opt/ml/input/data/code"
    job = Job.prepare(tmp_path / "job", {"train": few_digits / "train", "code": code}, given)
    done = images.run(*job.options, images.train, "train")
    assert done.returncode == 0, done.stdout
    assert list((job.root / "model" / "tensors").rglob("*.tfevents"))


def script_job(digits: Path, root: Path, *, packed: bool, rounds: int) -> Job:
    """A script-mode job of the SDK: the user's code is in a channel."""
    code = root / "code"
    code.mkdir()
    (code / "train_me.py").write_text(SCRIPT)
    (code / "sibling.py").write_text("ANSWER = 42\n")
    if packed:
        with tarfile.open(code / "sourcedir.tar.gz", "w:gz") as archive:
            for name in ("train_me.py", "sibling.py"):
                archive.add(code / name, arcname=name)
                (code / name).unlink()
    place = "/opt/ml/input/data/code" + ("/sourcedir.tar.gz" if packed else "")
    hyperparameters = {
        "sagemaker_program": "train_me.py",
        "sagemaker_submit_directory": place,
        "rounds": rounds,
    }
    return Job.prepare(root / "job", {"train": digits / "train", "code": code}, hyperparameters)

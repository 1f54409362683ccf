"""The training contract with signals, restarts, several hosts and users' scripts."""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier import bundle
from debugger import recording
from debugger.records import End, Start, Step, System, Tensors
from tests.opt_ml import OptMl, wait_for
from tests.ports import free_port
from tests.train.test_story import SMALL

pytestmark = pytest.mark.slow
NAME = "trial-7"


@pytest.fixture(scope="module")
def finished(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> OptMl:
    """A finished job that uses every training option."""
    job = OptMl.lay_out(
        tmp_path_factory.mktemp("job"),
        {"digits": few_digits},
        SMALL
        | {"mixup": 0.2, "cutmix": 0.5, "ema": 0.5, "label_smoothing": 0.1, "patience": 5}
        | {"class_weights": "balanced", "warmup_epochs": 0.5, "clip_gradient_norm": 1.0}
        | {"augment": "randaugment", "optimizer": "adamw", "workers": 1},
    )
    code, log = job.run(TRAINING_JOB_NAME=NAME)
    assert code == 0, log
    return job


def test_a_job_with_every_option_writes_a_bundle_that_replays(finished: OptMl) -> None:
    loaded = bundle.load(finished.model)
    assert loaded.description.training["finished"] is True
    assert bundle.replay(loaded) < 1e-6


def test_each_training_job_has_a_checkpoint_folder_of_its_own(finished: OptMl) -> None:
    assert {path.parent.name for path in finished.checkpoints} == {NAME}


def test_a_start_after_the_end_only_writes_the_same_bundle_again(
    finished: OptMl, tmp_path: Path
) -> None:
    """As after a spot interruption during the upload of the model."""
    again = tmp_path / "again"
    shutil.copytree(finished.root, again, symlinks=True)
    shutil.rmtree(again / "model")
    code, log = OptMl(again).run(TRAINING_JOB_NAME=NAME)
    assert code == 0, log
    assert "resuming from step-" in log
    assert log.count("validation:accuracy=") == 1  # the best epoch's; none was trained
    first, second = bundle.load(finished.model), bundle.load(again / "model")
    assert np.array_equal(first.golden.logits, second.golden.logits)


def test_a_checkpoint_of_another_run_is_refused(
    finished: OptMl, few_digits: Path, tmp_path: Path
) -> None:
    job = OptMl.lay_out(tmp_path, {"train": few_digits}, SMALL | {"learning_rate": 0.5})
    for path in finished.checkpoints:
        shutil.copy(path, job.root / "checkpoints")
    code, _ = job.run()
    assert code == 1
    assert "learning_rate was 0.01, is 0.5" in job.failure


def test_a_job_stopped_by_sigterm_resumes_to_the_weights_of_an_unbroken_job(
    few_digits: Path, tmp_path: Path
) -> None:
    settings = SMALL | {"epochs": 3, "ema": 0.5, "mixup": 0.2}
    unbroken = OptMl.lay_out(tmp_path / "unbroken", {"train": few_digits}, settings)
    code, log = unbroken.run()
    assert code == 0, log

    job = OptMl.lay_out(tmp_path / "broken", {"train": few_digits}, settings)
    process = job.start()
    wait_for(process, "validation:macro_f1")
    stopped = time.monotonic()
    process.send_signal(signal.SIGTERM)
    log = process.communicate(timeout=120)[0]
    assert process.returncode == 0, log
    assert time.monotonic() - stopped < 60
    assert "stopped on request (SIGTERM)" in log
    assert job.checkpoints
    early = bundle.load(job.model)  # the best epoch so far
    assert early.description.training["finished"] is False

    code, log = job.run()
    assert code == 0, log
    assert "resuming from step-" in log
    assert log.count("validation:accuracy=") < 4  # two epochs, and the best once more
    expected, weights = (bundle.load(done.model).network.state_dict() for done in (unbroken, job))
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


def test_missing_weights_without_internet_are_explained(few_digits: Path, tmp_path: Path) -> None:
    job = OptMl.lay_out(tmp_path / "job", {"train": few_digits}, {"architecture": "resnet18"})
    unreachable = "http://127.0.0.1:9"
    code, _ = job.run(TORCH_HOME=str(tmp_path), https_proxy=unreachable, HTTPS_PROXY=unreachable)
    assert code == 1
    assert job.failure.startswith("WeightsError: the pretrained weights of resnet18 could not be")
    assert "add an input channel named `pretrained`" in job.failure


def test_a_killed_process_is_explained(few_digits: Path, tmp_path: Path) -> None:
    job = OptMl.lay_out(tmp_path, {"train": few_digits}, SMALL | {"epochs": 50})
    process = job.start()
    wait_for(process, "pictures:")
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "train.job"],
        capture_output=True,
        text=True,
        check=True,
    )
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    process.communicate(timeout=600)
    assert process.returncode == 1
    assert "training was killed (SIGKILL, most likely out of memory" in job.failure


def test_two_hosts_train_together(few_digits: Path, tmp_path: Path) -> None:
    """With torchrun and gloo: two names of this machine, each with its own /opt/ml."""
    hosts = ("localhost", "127.0.0.1")
    settings = SMALL | {"epochs": 1, "debugger": True, "profiler": True, "profiler_interval": 0.1}
    jobs = [
        OptMl.lay_out(tmp_path / host, {"train": few_digits}, settings, hosts=hosts, host=host)
        for host in hosts
    ]
    port = str(free_port())
    processes = [job.start(MASTER_PORT=port) for job in jobs]
    logs = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(logs)
    assert sorted(log.count("validation:accuracy=") for log in logs) == [0, 2]
    bundles = [job.model / bundle.DESCRIPTION for job in jobs]
    assert [path.exists() for path in bundles] == [True, False]
    assert "2 training processes" in logs[0]
    for rank, (job, host) in enumerate(zip(jobs, hosts, strict=True)):
        # Each host records its steps; only the first records tensors, which are the same in all.
        records = list(recording.read(job.root / "checkpoints" / "recording"))
        assert {(record.host, record.rank) for record in records} == {(host, rank)}
        kinds = {type(record) for record in records}
        assert {Start, Step, System, End} <= kinds
        assert (Tensors in kinds) == (rank == 0)
        assert (job.root / "output" / "data" / "report.html").exists() == (rank == 0)


def test_a_users_own_script_runs_instead_of_ours(tmp_path: Path) -> None:
    """The SDK's script mode: an archive of code, and hyperparameters as arguments."""
    script = tmp_path / "mine.py"
    script.write_text(
        "import sys, os, pathlib\n"
        "assert os.environ['NCCL_SOCKET_IFNAME'] == os.environ['SM_NETWORK_INTERFACE_NAME']\n"
        "pathlib.Path(os.environ['SM_MODEL_DIR'], 'args').write_text(' '.join(sys.argv[1:]))\n"
        "if '--fail' in sys.argv: raise RuntimeError('my own mistake')\n"
    )
    archive = tmp_path / "sourcedir.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(script, "mine.py")
    settings: dict[str, object] = {
        "sagemaker_program": "mine.py",
        "sagemaker_submit_directory": str(archive),
        "depth": 3,
    }
    job = OptMl.lay_out(tmp_path / "good", {}, settings)
    code, log = job.run(SM_STUDIO_LOCAL_MODE="true")  # this machine is not "algo-1"
    assert code == 0, log
    assert (job.model / "args").read_text() == "--depth 3"

    bad = OptMl.lay_out(tmp_path / "bad", {}, settings | {"fail": ""})
    code, log = bad.run(SM_STUDIO_LOCAL_MODE="true")
    assert code == 1
    assert bad.failure.startswith("RuntimeError: my own mistake\n")
    assert "mine.py ended with exit code 1" in bad.failure
    assert "raise RuntimeError('my own mistake')" in bad.failure  # the whole traceback
    assert "RuntimeError: my own mistake" in log


def test_the_entry_needs_no_environment_and_explains_an_empty_opt_ml(tmp_path: Path) -> None:
    """The process engine and `make demo` start it like this."""
    job = OptMl.lay_out(tmp_path, {}, SMALL)
    result = subprocess.run(
        [sys.executable, "-m", "train.entry"],
        env={"SAGEMAKER_BASE_DIR": str(job.root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 1
    assert job.failure.startswith("DataError: no training pictures: the channels are none")

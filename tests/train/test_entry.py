"""The training contract, end to end: `train` on an /opt/ml, as a process, with real pictures."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from classifier import bundle
from debugger import recording
from debugger.records import End, Start, Step, System, Tensors
from tests.opt_ml import OptMl, wait_for
from tests.ports import free_port
from train.metrics import definitions

SMALL: dict[str, object] = {
    "architecture": "mobilenet_v3_small",
    "weights": "none",
    "trainable": "all",
    "image_size": 32,
    "epochs": 2,
    "batch_size": 32,
    "learning_rate": 0.01,
    "workers": 0,
}


@pytest.fixture(scope="module")
def finished(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[OptMl, str]:
    """One whole job, run once: every training option at work in it."""
    job = OptMl.lay_out(
        tmp_path_factory.mktemp("job"),
        {"digits": few_digits},
        SMALL
        | {"mixup": 0.2, "cutmix": 0.5, "ema": 0.5, "label_smoothing": 0.1, "patience": 5}
        | {"class_weights": "balanced", "warmup_epochs": 0.5, "clip_gradient_norm": 1.0}
        | {"augment": "randaugment", "optimizer": "adamw", "workers": 1},
    )
    code, log = job.run()
    assert code == 0, log
    return job, log


def test_a_job_leaves_a_bundle_that_replays(finished: tuple[OptMl, str]) -> None:
    job, _ = finished
    loaded = bundle.load(job.model)
    assert loaded.description.classes == tuple("0123456789")
    assert loaded.description.transform.crop == 32
    assert loaded.description.training["finished"] is True
    assert len(loaded.golden.photos) == 4
    assert replayed_in_the_jobs_threads(loaded) < 1e-6
    assert (job.root / "output" / "success").exists()


def replayed_in_the_jobs_threads(loaded: bundle.Bundle) -> float:
    """Sums are made in another order in more threads or fewer: as many as OptMl gives a job."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return bundle.replay(loaded)
    finally:
        torch.set_num_threads(before)


def test_every_metric_is_in_the_log(finished: tuple[OptMl, str]) -> None:
    job, log = finished
    figures = json.loads((job.root / "output" / "data" / "metrics.json").read_text())
    for item in definitions():
        values = [float(text) for text in re.findall(item["Regex"], log)]
        assert len(values) == (1 if item["Name"].startswith("test:") else 2), item["Name"]
    accuracy = [epoch["validation:accuracy"] for epoch in figures["history"]]
    assert accuracy == pytest.approx(
        [float(v) for v in re.findall(r"validation:accuracy=(\S+)", log)]
    )


def test_the_figures_add_up(finished: tuple[OptMl, str]) -> None:
    job, _ = finished
    out = job.root / "output" / "data"
    figures = json.loads((out / "metrics.json").read_text())
    rows = [line.split(",") for line in (out / "confusion.csv").read_text().splitlines()]
    counts = [[int(cell) for cell in row[1:]] for row in rows[1:]]
    total = sum(map(sum, counts))
    assert total == figures["test"]["pictures"] == 30
    right = sum(counts[i][i] for i in range(10))
    assert figures["test"]["test:accuracy"] == pytest.approx(right / total)
    assert [entry["class"] for entry in figures["classes"]] == list("0123456789")


def test_a_second_start_after_the_end_measures_and_leaves_the_same(
    finished: tuple[OptMl, str], tmp_path: Path
) -> None:
    """As when a spot instance is taken away while the model is being uploaded."""
    job, _ = finished
    again = tmp_path / "again"
    shutil.copytree(job.root, again, symlinks=True)
    shutil.rmtree(again / "model")
    code, log = OptMl(again).run()
    assert code == 0, log
    assert "resuming from step-" in log
    one, other = bundle.load(job.model), bundle.load(again / "model")
    assert torch.equal(one.golden.logits, other.golden.logits)


def test_sigterm_saves_and_a_second_start_ends_like_an_unbroken_run(
    few_digits: Path, tmp_path: Path
) -> None:
    settings = SMALL | {"epochs": 3, "ema": 0.5, "mixup": 0.2}
    unbroken = OptMl.lay_out(tmp_path / "unbroken", {"train": few_digits}, settings)
    code, log = unbroken.run()
    assert code == 0, log

    job = OptMl.lay_out(tmp_path / "broken", {"train": few_digits}, settings)
    process = job.start()
    wait_for(process, "validation:macro_f1")
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    log = process.communicate(timeout=120)[0]
    assert process.returncode == 0, log
    assert time.monotonic() - asked < 60
    assert "stopped on request (SIGTERM)" in log
    assert job.checkpoints
    early = bundle.load(job.model)  # the best so far is there, for a job stopped by its owner
    assert early.description.training["finished"] is False

    code, log = job.run()
    assert code == 0, log
    assert "resuming from step-" in log
    assert log.count("validation:accuracy=") < 3
    weights = [bundle.load(one.model).network.state_dict() for one in (unbroken, job)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_another_runs_checkpoint_is_refused(few_digits: Path, tmp_path: Path) -> None:
    first = OptMl.lay_out(tmp_path / "first", {"train": few_digits}, SMALL | {"epochs": 1})
    assert first.run()[0] == 0
    second = OptMl.lay_out(
        tmp_path / "second", {"train": few_digits}, SMALL | {"learning_rate": 0.5}
    )
    for path in first.checkpoints:
        shutil.copy(path, second.root / "checkpoints")
    code, _ = second.run()
    assert code == 1
    assert "learning_rate was 0.01, is 0.5" in second.failure


def test_trials_of_one_folder_keep_their_checkpoints_apart(
    few_digits: Path, tmp_path: Path
) -> None:
    job = OptMl.lay_out(tmp_path, {"train": few_digits}, SMALL | {"epochs": 1})
    assert job.run(TRAINING_JOB_NAME="trial-7")[0] == 0
    assert {path.parent.name for path in job.checkpoints} == {"trial-7"}


def failing(tmp_path: Path, channels: dict[str, Path], settings: dict[str, object]) -> str:
    """Run a job that must fail; return its failure file."""
    job = OptMl.lay_out(tmp_path / "job", channels, settings)
    code, log = job.run()
    assert code == 1, log
    assert not (job.model / bundle.DESCRIPTION).exists()
    return job.failure


def test_wrong_hyperparameters_are_all_in_the_failure_file(
    few_digits: Path, tmp_path: Path
) -> None:
    reason = failing(tmp_path, {"train": few_digits}, {"epoch": 3, "batch_size": "many"})
    assert reason.startswith("ConfigError: hyperparameters that cannot be used")
    assert "epoch: no such hyperparameter (did you mean epochs?)" in reason
    assert "batch_size: Input should be a valid integer" in reason
    assert "Traceback (most recent call last)" in reason


def test_missing_weights_without_network(few_digits: Path, tmp_path: Path) -> None:
    job = OptMl.lay_out(tmp_path / "job", {"train": few_digits}, {"architecture": "resnet18"})
    nowhere = "http://127.0.0.1:9"
    code, _ = job.run(TORCH_HOME=str(tmp_path), https_proxy=nowhere, HTTPS_PROXY=nowhere)
    assert code == 1
    assert job.failure.startswith("WeightsError: the pretrained weights of resnet18 could not be")
    assert "add an input channel named `pretrained`" in job.failure


def test_unreadable_photos_are_skipped_up_to_the_limit(few_digits: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(few_digits, data)
    (data / "train" / "0" / "empty.png").write_bytes(b"")
    whole = next((data / "train" / "1").iterdir()).read_bytes()
    (data / "train" / "1" / "short.png").write_bytes(whole[: len(whole) // 2])
    job = OptMl.lay_out(tmp_path / "job", {"train": data}, SMALL | {"epochs": 1})
    code, log = job.run()
    assert code == 0, log
    assert "skipped unreadable picture" in log
    assert "empty.png: the picture is empty (0 bytes)" in log
    figures = json.loads((job.root / "output" / "data" / "metrics.json").read_text())
    assert sorted(Path(name).name for name in figures["unreadable"]) == ["empty.png", "short.png"]

    strict = failing(tmp_path / "2", {"train": data}, SMALL | {"max_unreadable": 0})
    assert "pictures cannot be read, 0 are allowed (max_unreadable)" in strict


def test_a_loss_that_explodes_says_what_to_change(few_digits: Path, tmp_path: Path) -> None:
    reason = failing(
        tmp_path,
        {"train": few_digits},
        SMALL
        | {"learning_rate": 10.0, "backbone_learning_rate": 10.0, "architecture": "alexnet"}
        | {"image_size": 64, "epochs": 1},
    )
    assert "the loss was not a number in the first epoch: lower learning_rate (now 10)" in reason


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
    """Through torchrun and gloo: two host names of this machine, each with an /opt/ml."""
    hosts = ("localhost", "127.0.0.1")
    settings = SMALL | {"epochs": 1, "profiler_interval": 0.1}  # sampled, however quick it is
    jobs = [
        OptMl.lay_out(tmp_path / host, {"train": few_digits}, settings, hosts=hosts, host=host)
        for host in hosts
    ]
    port = str(free_port())
    processes = [job.start(MASTER_PORT=port) for job in jobs]
    logs = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(logs)
    assert sorted(log.count("validation:accuracy=") for log in logs) == [0, 1]
    bundles = [job.model / bundle.DESCRIPTION for job in jobs]
    assert [path.exists() for path in bundles] == [True, False]
    assert "2 training processes" in logs[0]
    for rank, (job, host) in enumerate(zip(jobs, hosts, strict=True)):
        # Each host records its own steps; tensors are alike in all processes, and the first's do.
        records = list(recording.read(job.root / "checkpoints" / "recording"))
        assert {(one.host, one.rank) for one in records} == {(host, rank)}
        kinds = {type(one) for one in records}
        assert {Start, Step, System, End} <= kinds
        assert (Tensors in kinds) == (rank == 0)
        assert (job.root / "output" / "data" / "report.html").exists() == (rank == 0)


def test_a_users_own_script_runs_instead(tmp_path: Path) -> None:
    """The SDK's script mode: an archive of the user's code, and hyperparameters as arguments."""
    script = tmp_path / "mine.py"
    script.write_text(
        "import sys, os, pathlib\n"
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
    code, log = job.run(SM_STUDIO_LOCAL_MODE="true")  # "algo-1" resolves to nothing here
    assert code == 0, log
    assert (job.model / "args").read_text() == "--depth 3"

    bad = OptMl.lay_out(tmp_path / "bad", {}, settings | {"fail": ""})
    code, log = bad.run(SM_STUDIO_LOCAL_MODE="true")
    assert code == 1
    assert bad.failure.startswith("RuntimeError: my own mistake\n")
    assert "mine.py ended with exit code 1" in bad.failure
    assert "raise RuntimeError('my own mistake')" in bad.failure  # the traceback is whole
    assert "RuntimeError: my own mistake" in log


def test_a_picture_of_one_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d" / "dogs").mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(tmp_path / "d" / "dogs" / "a.png")
    reason = failing(tmp_path, {"train": tmp_path / "d"}, SMALL)
    assert reason.startswith("DataError: one class only (dogs)")


def test_the_entry_needs_nothing_but_python(tmp_path: Path) -> None:
    """The process engine and `make demo` start it so; an empty /opt/ml gets a reason."""
    job = OptMl.lay_out(tmp_path, {}, SMALL)
    result = subprocess.run(
        [sys.executable, "-m", "train.entry"],
        env={"SAGEMAKER_BASE_DIR": str(job.root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 1
    assert job.failure.startswith("DataError: no training pictures: the channels are none")

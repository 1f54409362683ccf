"""`kennel report` about a folder, an archive, an S3 address, and jobs."""

import dataclasses
import json
import tarfile
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from debugger.report.facts import Report, Tuning
from scripts.aws import recordings
from tests.debugger.recorded import Made
from tests.scripts.kennel import kennel

MADE = Made(steps=300, epochs=1, layers=4, slow_every=60, classes=("cat", "dog"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return MADE.write(tmp_path / "recording")


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_folder_needs_no_aws(recording: Path, at: Path, nowhere: None) -> None:
    done = kennel("report", str(recording))
    assert done.code == 0, done.err
    assert done.out.startswith("The job completed in 4 min 15 s")
    assert "Data wait" in done.out
    assert "DeadRelu" in done.out
    assert "the loop waited for data" in done.out.lower()
    assert done.err == "report: recording-report.html\n"
    assert "DeadRelu" in (at / "recording-report.html").read_text()


def test_json_has_the_facts_of_the_page(recording: Path, at: Path, nowhere: None) -> None:
    done = kennel("report", str(recording), "--json", "--output", "out/page.html")
    facts = Report.model_validate_json(done.out)
    assert facts.version == 1
    assert facts.job.name == MADE.job
    assert facts.steps
    assert facts.steps.durations.count == 300
    assert (at / "out" / "page.html").is_file()


def test_a_report_against_another_job_says_what_changed(
    recording: Path, at: Path, tmp_path: Path, nowhere: None
) -> None:
    faster = dataclasses.replace(MADE, slow=0.0, job="dogs-2")
    faster.write(tmp_path / "faster")
    done = kennel("report", str(tmp_path / "faster"), "--against", str(recording))
    assert done.code == 0, done.err
    (row,) = [line for line in done.out.splitlines() if line.startswith("time in total")]
    assert row.split()[-2].startswith("-")  # a change in percent
    page = (at / "faster-report.html").read_text()
    assert f"Compared with {MADE.job}" in page
    asked = kennel("report", str(tmp_path / "faster"), "--against", str(recording), "--json")
    facts = Report.model_validate_json(asked.out)
    assert facts.against
    times = next(item for item in facts.against.figures if item.name == "time in total")
    assert times.before
    assert times.now
    assert times.before - times.now == pytest.approx(5 * MADE.slow, rel=0.05)
    assert facts.against.settings == []


def test_a_saturated_processor_is_a_finding_in_money(
    at: Path, tmp_path: Path, nowhere: None
) -> None:
    made = dataclasses.replace(MADE, gpu=False, cpu=97.0, instance_type="ml.c5.xlarge")
    done = kennel("report", str(made.write(tmp_path / "busy")))
    first = done.out.splitlines()[0]
    assert "all 8 cores were busy 97 % of the time, so the processor was the limit" in first
    assert "It ran on 1 x ml.c5.xlarge, $0.204 an hour." in first
    assert "ml.g4dn.xlarge, costs $0.7364 an hour, 3.6 times as much" in done.out
    assert "Raise workers" not in done.out
    assert "more workers do not help" in done.out


def test_tensorboard_files(recording: Path, at: Path, nowhere: None) -> None:
    done = kennel("report", str(recording), "--tensorboard", "curves")
    assert "curves: tensorboard --logdir curves" in done.err
    assert list((at / "curves").rglob("events.out.tfevents*"))


def test_smdebug_files_are_written_and_can_be_reported_on(
    recording: Path, at: Path, nowhere: None
) -> None:
    done = kennel("report", str(recording), "--smdebug", "export")
    assert "for smdebug: export/debug-output, export/profiler-output\n" in done.err
    again = kennel("report", "export", "--json")
    facts = Report.model_validate_json(again.out)
    assert facts.steps
    assert facts.steps.durations.count == 300
    assert facts.layers
    refused = kennel("report", str(recording), "--smdebug", "export")
    assert (refused.code, "not empty" in refused.err) == (1, True)


def test_an_archive(recording: Path, at: Path, nowhere: None) -> None:
    with tarfile.open("output.tar.gz", "w:gz") as archive:
        archive.add(recording, "recording")
    assert kennel("report", "output.tar.gz").out.startswith("The job completed")
    Path("truncated.tar.gz").write_bytes(Path("output.tar.gz").read_bytes()[:500])
    truncated = kennel("report", "truncated.tar.gz")
    assert truncated.code == 1
    assert truncated.err.startswith("kennel: truncated.tar.gz is damaged or incomplete")


def test_an_s3_address(recording: Path, at: Path, moto: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="recorded")
    for path in recording.rglob("*.jsonl"):
        key = f"jobs/one/recording/{path.relative_to(recording)}"
        s3.put_object(Bucket="recorded", Key=key, Body=path.read_bytes())
    s3.put_object(Bucket="recorded", Key="jobs/one/recording/algo-1-0/tensors/1.npy", Body=b"0" * 9)
    done = kennel("report", "s3://recorded/jobs/one/recording/")
    assert done.code == 0, done.err
    assert done.out.startswith("The job completed")
    nothing = kennel("report", "s3://recorded/other/")
    assert nothing.code == 1
    assert nothing.err == "kennel: there is nothing below s3://recorded/other/\n"
    s3.put_object(Bucket="recorded", Key="bad/../../../evil", Body=b"")
    evil = kennel("report", "s3://recorded/bad/")
    assert evil.code == 1
    assert "refusing to write outside of the folder" in evil.err


def test_a_folder_without_a_recording(at: Path, nowhere: None) -> None:
    (at / "empty").mkdir()
    done = kennel("report", "empty")
    assert done.code == 1
    assert "holds no recording" in done.err
    assert not (at / "empty-report.html").exists()


def test_a_dry_run_prints_the_first_request(nowhere: None) -> None:
    (request,) = json.loads(kennel("report", "dogs-1", "--dry-run").out)
    assert request["operation"] == "DescribeTrainingJob"
    assert request["parameters"] == {"TrainingJobName": "dogs-1"}
    (request,) = json.loads(kennel("report", "s3://b/k/", "--dry-run").out)
    assert request["parameters"] == {"Bucket": "b", "Prefix": "k/"}


def test_where_a_recording_can_be() -> None:
    about = {
        "TrainingJobName": "dogs-1",
        "OutputDataConfig": {"S3OutputPath": "s3://b/jobs"},
        "CheckpointConfig": {"S3Uri": "s3://b/checkpoints/"},
        "DebugHookConfig": {"S3OutputPath": "s3://b/debug"},
    }
    assert recordings.places(about) == [
        "s3://b/debug/dogs-1/debug-output/",
        "s3://b/checkpoints/dogs-1/recording/",
        "s3://b/jobs/dogs-1/output/output.tar.gz",
    ]
    plain = {"S3OutputPath": "s3://b/jobs/", "CompressionType": "NONE"}
    (last,) = recordings.places({"TrainingJobName": "d", "OutputDataConfig": plain})
    assert last == "s3://b/jobs/d/output/output/"


@pytest.mark.slow
def test_a_finished_trial_has_a_report(
    tuned: dict[str, Any], emulator: str, tmp_path: Path
) -> None:
    job = tuned["best"]["job"]
    page = tmp_path / "report.html"
    done = kennel("report", job, "--json", "--output", str(page))
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["job"]["name"] == job
    assert facts["job"]["status"] == "completed"
    assert facts["job"]["about"]["architecture"] == "squeezenet1_1"
    assert facts["steps"]["durations"]["count"] > 0
    assert facts["curves"]["validation:accuracy"][-1]["value"] == pytest.approx(
        tuned["trials"][0]["value"], abs=1e-6
    )
    assert job in page.read_text()
    best = kennel("report", tuned["tuning_job"], "--output", str(page))
    assert best.code == 0, best.err
    assert f"the best trial of {tuned['tuning_job']}: {job}" in best.err
    assert f"kennel report {job}" in best.err
    shown = page.read_text()
    assert all(one["job"] in shown for one in tuned["trials"])
    for name in tuned["best"]["hyperparameters"]:
        assert name in shown
    asked = kennel("report", tuned["tuning_job"], "--json", "--output", str(page))
    facts = Tuning.model_validate_json(asked.out)
    assert facts.trials.best == job
    assert facts.trials.trials[0].value == tuned["trials"][0]["value"]
    refused = kennel("report", tuned["tuning_job"], "--against", job)
    assert refused.code == 1
    assert "need a training job" in refused.err

"""A recorded job writes all records, trains the same weights, and survives errors of its hooks."""

import itertools
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from classifier import bundle
from debugger import recording
from debugger.recording import load_tensor
from debugger.records import (
    COLLECTIONS,
    LOSSES,
    STEP_PHASES,
    Confusion,
    End,
    Fired,
    Note,
    Operators,
    Phase,
    RawTensor,
    Scalar,
    Start,
    Step,
    System,
    Tensors,
)
from tests.opt_ml import OptMl
from tests.train.recorded import SMALL, Recorded
from train.platform.stop import Interrupted, Stop
from train.recording.hooks import Hooks

EVERYTHING: dict[str, object] = {
    "debugger_interval": 2,
    "debugger_raw": "^features.0.0.weight$",
    "profiler_interval": 0.1,
    "profiler_steps": "3:5",
}
OFF: dict[str, object] = {"debugger": False, "profiler": False}


@pytest.fixture(scope="module")
def recorded(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    root = tmp_path_factory.mktemp("recorded")
    return Recorded.lay_out(root, few_digits, **EVERYTHING, ema=0.5, mixup=0.2).run()


def test_every_step_is_recorded_with_its_phases(recorded: Recorded) -> None:
    steps = [step for step in recorded.records(Step) if step.mode == "train"]
    assert [step.step for step in steps] == list(range(10))
    assert [step.epoch for step in steps] == [0] * 5 + [1] * 5
    assert sum(step.size for step in steps) == 2 * 140
    for step in steps:
        assert [span.name for span in step.spans if span.name in STEP_PHASES] == [*STEP_PHASES]
        assert step.loss is not None
        assert step.loss > 0
        spans = [span for span in step.spans if span.name in STEP_PHASES]
        ends = [step.start, *(span.start + span.seconds for span in spans)]
        begins = [*(span.start for span in spans), step.at]
        assert all(end <= begin + 1e-6 for end, begin in zip(ends, begins, strict=True))
        assert all(span.seconds > 0 for span in spans)


def test_the_learning_rate_is_recorded_by_step(recorded: Recorded) -> None:
    rates = {step.step: step.learning_rate for step in recorded.records(Step)
             if step.mode == "train"}  # fmt: skip
    ends = [item for item in recorded.records(Scalar) if item.name == "train:learning_rate"]
    assert [item.step for item in ends] == [4, 9]
    assert [rates[item.step] for item in ends] == [item.value for item in ends]
    assert len(set(rates.values())) == 10  # cosine: another in each step


def test_the_time_of_recording_is_not_part_of_the_step(recorded: Recorded) -> None:
    steps = {step.step: step for step in recorded.records(Step) if step.mode == "train"}
    assert steps[2].took("recording") > 0
    assert steps[2].seconds == pytest.approx(
        steps[2].at - steps[2].start - steps[2].took("recording")
    )


def test_the_phases_of_a_job_follow_one_another(recorded: Recorded) -> None:
    phases = recorded.records(Phase)
    # The start and the end of torch.profiler's window come in between.
    names = [phase.name for phase in phases if phase.name != "recording"]
    epoch = ["evaluation", "checkpoint"]
    assert names == ["initialisation", *epoch, *epoch, "evaluation", "finalisation"]
    assert all(a.at <= b.start + 1e-3 for a, b in itertools.pairwise(phases))
    start = recorded.records(Start)[0]
    assert phases[0].start == pytest.approx(start.process_started, abs=0.1)


def test_the_start_record_has_the_facts_of_the_job(recorded: Recorded) -> None:
    facts = recorded.records(Start)[0].facts
    assert facts["architecture"] == "mobilenet_v3_small"
    assert facts["classes"] == 10
    assert facts["batch_size"] == 32
    assert facts["device"] == "cpu"
    assert facts["layers"]["features.0.0"] == "Conv2d"
    assert [end.status for end in recorded.records(End)] == ["completed"]


def test_tensors_are_recorded_at_their_interval(recorded: Recorded) -> None:
    found = recorded.records(Tensors)
    for collection in set(COLLECTIONS) - {LOSSES}:
        steps = [one.step for one in found if one.collection == collection]
        assert steps == [0, 2, 4, 6, 8], collection
    first = {one.collection: one.values for one in found if one.step == 0}
    assert list(first["weights"]) == list(first["gradients"])
    (second,) = (one.values for one in found if one.collection == "weights" and one.step == 2)
    assert all(one.change is not None for one in second.values())  # in step 0, biases are zero
    assert first["activations"]["features.0.1"].std == pytest.approx(1, abs=0.1)  # batch norm's
    assert abs(first["inputs"]["images"].mean) < 1


def test_whole_tensors_are_recorded_on_request(recorded: Recorded) -> None:
    raw = recorded.records(RawTensor)
    assert {(one.step, one.collection) for one in raw} == {
        (step, collection) for step in (0, 2, 4, 6, 8) for collection in ("weights", "gradients")
    }
    value = load_tensor(recorded.folder, raw[0])
    assert value.shape == (16, 3, 3, 3)
    values = {(one.step, one.collection): one.values for one in recorded.records(Tensors)}
    reduced = values[raw[0].step, raw[0].collection][raw[0].name]
    assert (value.mean(), value.std()) == pytest.approx((reduced.mean, reduced.std), rel=1e-4)


def test_confusion_matrices_and_metrics_are_recorded(recorded: Recorded) -> None:
    matrices = recorded.records(Confusion)
    trained = [one for one in matrices if one.mode == "train"]
    assert sum(n for one in trained for _, _, n in one.counts) == 2 * 140
    measured = [sum(n for _, _, n in one.counts) for one in matrices if one.mode == "eval"]
    assert measured == [30, 30, 30]
    metrics = json.loads((recorded.job.output_dir / "metrics.json").read_text())
    losses = [one.value for one in recorded.records(Scalar) if one.name == "train:loss"]
    assert losses == [epoch["train:loss"] for epoch in metrics["history"]]


def test_system_metrics_and_operators_are_recorded(recorded: Recorded) -> None:
    values = recorded.records(System)[-1].values
    assert {"cpu", "cpu/0", "iowait", "memory", "process_memory"} <= set(values)
    assert 0 <= values["cpu"] <= 100
    (operators,) = recorded.records(Operators)
    assert (operators.device, operators.step, operators.steps) == ("cpu", 3, 2)
    assert len(operators.operators) <= 60
    own = [operator.self_seconds for operator in operators.operators]
    assert own == sorted(own, reverse=True)
    assert sum(own) < 2 * operators.seconds
    assert any("convolution" in operator.name for operator in operators.operators)
    assert any(
        "torch.profiler ran during steps 3 to 4" in note.text for note in recorded.records(Note)
    )


def test_the_report_is_in_the_output_folder(recorded: Recorded) -> None:
    assert (recorded.job.output_dir / "report.html").stat().st_size > 1000
    assert json.loads((recorded.job.output_dir / "report.json").read_text())


def test_recording_changes_no_bit_of_the_weights(
    recorded: Recorded, few_digits: Path, tmp_path: Path
) -> None:
    threads = set(threading.enumerate())
    off = Recorded.lay_out(tmp_path, few_digits, **OFF, ema=0.5, mixup=0.2).run()
    with_hooks, without = recorded.weights, off.weights
    assert with_hooks.keys() == without.keys()
    assert all(torch.equal(with_hooks[name], without[name]) for name in without)
    assert not off.folder.exists()  # nothing is recorded if both are off
    assert not (off.job.output_dir / "report.html").exists()
    assert set(threading.enumerate()) <= threads


def test_hooks_that_are_off_do_nothing() -> None:
    hooks = Hooks()
    with hooks as same:
        assert same is hooks
        assert hooks.phase("evaluation") is hooks.phase("checkpoint")  # no new object


class StopAfter(Stop):
    """Stops the job once its recording has this number of steps."""

    def __init__(self, job: Recorded, steps: int) -> None:
        super().__init__()
        self._job, self._steps = job, steps

    def check(self, number: int = 0) -> None:
        files = list(self._job.folder.rglob("*.jsonl"))
        self.requested = sum(path.read_text().count('"Step"') for path in files) >= self._steps
        super().check(number)


def test_a_resumed_job_continues_the_recording(few_digits: Path, tmp_path: Path) -> None:
    job = Recorded.lay_out(tmp_path, few_digits)
    with pytest.raises(Interrupted):
        job.run(StopAfter(job, 8))  # in the second epoch
    assert [(end.status, end.reason) for end in job.records(End)] == [
        ("stopped", "stopped on request (SIGTERM)")
    ]
    assert (job.job.output_dir / "report.html").exists()
    job.run()
    assert len(job.records(Start)) == 2
    assert [end.status for end in job.records(End)] == ["stopped", "completed"]
    steps = [step.step for step in job.records(Step) if step.mode == "train"]
    assert steps == list(range(10))


def test_a_failed_job_has_a_recording_and_a_report(few_digits: Path, tmp_path: Path) -> None:
    job = Recorded.lay_out(
        tmp_path,
        few_digits,
        architecture="squeezenet1_1",
        image_size=64,
        learning_rate=10.0,
        backbone_learning_rate=10.0,
        epochs=1,
    )
    with pytest.raises(RuntimeError, match=r"lower learning_rate \(now 10\)"):
        job.run()
    (end,) = job.records(End)
    assert end.status == "failed"
    assert end.reason.startswith(
        "TrainingError: the loss was not a number in the first epoch: lower learning_rate (now 10)"
    )
    assert any(step.loss != step.loss for step in job.records(Step) if step.loss is not None)
    assert (job.job.output_dir / "report.html").exists()


def test_a_folder_that_cannot_be_written_is_logged_and_training_continues(
    few_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Recorded.lay_out(tmp_path, few_digits, epochs=1, debugger_interval=2)
    job.folder.write_text("not a folder")
    job.run()
    out = capsys.readouterr().out
    assert out.count("WARNING: recording is off") == 1
    assert f"cannot write to {job.folder} (" in out
    assert "Training continues." in out
    assert job.weights


@pytest.mark.slow
def test_a_rule_stops_training_and_the_best_epoch_is_written(
    few_digits: Path, tmp_path: Path
) -> None:
    """The exit code is 0, because SageMaker discards the model of a failed job."""
    # With these parameters the rule fires in the second epoch.
    rule = {"ratio_threshold": -0.99, "patience": 0, "action": "stop"}
    job = OptMl.lay_out(
        tmp_path,
        {"train": few_digits},
        {**SMALL, "epochs": 50, "debugger_rules": json.dumps({"Overfit": rule})},
    )
    code, log = job.run()
    assert code == 0, log
    reason = "stopped by rule Overfit: epoch 2: validation loss"
    assert log.count(reason) == 1
    assert job.failure.startswith(f"Interrupted: {reason}")
    figures = json.loads((job.root / "output" / "data" / "metrics.json").read_text())
    assert figures["stopped"].startswith(reason)
    assert len(figures["history"]) == 2
    assert bundle.load(job.model).description.training["finished"] is False
    records = list(recording.read(job.root / "checkpoints" / "recording"))
    assert [one.step for one in records if isinstance(one, Fired) and one.rule == "Overfit"] == [9]
    (end,) = (one for one in records if isinstance(one, End))
    assert end.status == "stopped"
    assert end.reason.startswith(reason)
    assert "stopped by rule Overfit" in (job.root / "output/data/report.html").read_text()
    # The machine's figures begin with the job's first process, without a gap.
    start = next(one for one in records if isinstance(one, Start))
    samples = [one for one in records if isinstance(one, System)]
    assert samples[0].at == start.process_started
    own = next(one.at for one in samples if "process_memory" in one.values)
    times = [one.at for one in samples if one.at <= own]
    assert len(times) > 2
    assert all(b - a <= 1.01 for a, b in itertools.pairwise(times))  # twice the interval
    assert all("cpu" in one.values for one in samples)
    assert start.facts["input_modes"] == ["File"]


def test_a_rule_that_stops_the_first_epoch_fails_the_job(few_digits: Path, tmp_path: Path) -> None:
    rules = {"VanishingGradient": {"threshold": 1e9, "action": "stop"}}
    job = Recorded.lay_out(tmp_path, few_digits, debugger_rules=json.dumps(rules))
    with pytest.raises(RuntimeError, match=r"stopped by rule Van.* no epoch was finished"):
        job.run()
    (end,) = job.records(End)
    assert end.status == "failed"


FULL = """
import resource, sys
from pathlib import Path
from debugger.records import Scalar
from train.recording.sink import Sink
sink = Sink(Path(sys.argv[1]), "algo-1", 0, lambda: 0.0)
sink.open(Scalar(0.0, "first", 0, 0, 1.0))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for step in range(1000):
    sink.write(Scalar(float(step), "x", step, 0, 1.0))
print("continued")
"""


def test_a_full_disk_is_logged_once(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "recording")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("WARNING: recording is off from now on: OSError") == 1
    assert done.stdout.endswith("continued\n")
    found = [one for one in recording.read(tmp_path / "recording") if isinstance(one, Scalar)]
    assert [one.step for one in found] == [0, *range(len(found) - 1)]
    assert 20 < len(found) < 1000

"""A training job from end to end: recorded by hooks, checked by rules, shown in the report."""

import json
from pathlib import Path

from debugger import rules
from debugger.records import End, Fired, Start, Step, Tensors
from debugger.report import write
from tests.debugger import faults
from tests.debugger.faults import Training


def test_a_job_is_recorded_checked_and_reported(tmp_path: Path) -> None:
    settings = {"ExplodingTensor": {"action": "log"}}
    training = Training(settings={"debugger_rules": json.dumps(settings)})
    faults.exploding_loss(training)
    recorded = training.run(tmp_path)

    assert isinstance(recorded[0], Start)
    assert isinstance(recorded[-1], End)
    collections = {record.collection for record in recorded if isinstance(record, Tensors)}
    assert collections == {"weights", "gradients", "activations", "inputs"}
    steps = [record for record in recorded if isinstance(record, Step) and record.mode == "train"]
    assert [step.step for step in steps] == list(range(training.steps))

    live = {record.rule for record in recorded if isinstance(record, Fired)}
    afterwards = rules.evaluate(recorded, rules.make(settings))
    assert {result.rule for result in afterwards if result.times} == live
    assert "ExplodingTensor" in live

    facts = write(tmp_path / "output" / "recording", tmp_path / "report.html")
    assert facts.job.status == "completed"
    assert facts.steps
    assert facts.steps.durations.count == training.steps
    (found,) = [rule for rule in facts.rules if rule.rule == "ExplodingTensor"]
    assert found.parameters == {"action": "log"}
    page = (tmp_path / "report.html").read_text()
    assert found.first[0].text in page
    assert found.advice in page

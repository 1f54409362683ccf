"""The facts of the report, compared with a synthetic recording; and the page."""

import dataclasses
import html.parser
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from debugger import records
from debugger.recording import RecordingError, Writer
from debugger.records import End, Record, Start, Step
from debugger.report import wording, write, write_tuning
from debugger.report.analysis import summary
from debugger.report.analysis.gathering import Gathered
from debugger.report.facts import Cost, Report, Trial, Trials, Tuning
from debugger.report.page import page
from debugger.rules import Rule
from tests.debugger.recorded import START, Made

SMALL = Made(steps=600, epochs=2, slow_every=100, layers=12, tensors_every=100, classes=("a", "b"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, str]:
    """The facts and the page of a small job."""
    folder = tmp_path_factory.mktemp("small")
    SMALL.write(folder / "recording")
    return written(folder)


def text(page: Path) -> str:
    return page.read_text().replace("\N{NO-BREAK SPACE}", " ")


def written(tmp_path: Path, *, running: bool = False) -> tuple[Report, str]:
    page, facts = tmp_path / "report.html", tmp_path / "report.json"
    made = write(tmp_path / "recording", page, facts, running=running)
    # Fails if a value is rounded or lost.
    assert Report.model_validate_json(facts.read_text()) == made
    return made, text(page)


def test_the_time_split_matches_the_recorded_times(small: tuple[Report, str]) -> None:
    facts, page = small
    took = {part.name: part.seconds for part in facts.time.parts}
    assert took["initialisation"] == pytest.approx(SMALL.initialisation, rel=0.02)
    assert took["data_wait"] == pytest.approx(600 * 0.04 + 6 * SMALL.slow, rel=0.02)
    assert took["forward"] == pytest.approx(600 * 0.09, rel=0.02)
    assert took["backward"] == pytest.approx(600 * 0.16, rel=0.02)
    assert took["evaluation"] == pytest.approx(2 * SMALL.evaluation, rel=0.02)
    assert took["other"] == pytest.approx(600 * SMALL.between, rel=0.02)
    assert sum(took.values()) == pytest.approx(facts.time.seconds)
    assert facts.job.status == "completed"
    # Data wait, time between steps, and the first checkpoint; the last one is finalisation.
    planted = 600 * 0.04 + 6 * SMALL.slow + 600 * SMALL.between + SMALL.checkpoint
    assert facts.time.others == pytest.approx(planted, rel=0.02)
    others = facts.time.others / facts.time.loop
    assert f"{100 * others:.0f} % of the loop was neither TRAIN nor EVAL" in page


def test_outliers_have_their_cause(small: tuple[Report, str]) -> None:
    facts, page = small
    assert facts.steps
    assert {item.step for item in facts.steps.outliers} == {99, 199, 299, 399, 499, 599}
    assert facts.steps.outlier_every == 100
    for item in facts.steps.outliers:
        assert item.longer[0].phase == "data_wait"
        assert item.longer[0].seconds - item.longer[0].usual == pytest.approx(4.0, rel=0.02)
        assert {"iowait", "gpu/0"} <= {two.name for two in item.system}
    assert facts.steps.outlier_seconds == pytest.approx(6 * 4.0, rel=0.02)
    assert "They occur mostly every 100 steps." in page


def test_advice_is_sorted_by_cost(small: tuple[Report, str]) -> None:
    facts, _ = small
    costs = [item.seconds for item in facts.advice]
    assert len(costs) >= 3
    assert costs == sorted(costs, reverse=True)


def test_rules_are_sorted_by_firings_and_shown_with_their_results(
    small: tuple[Report, str],
) -> None:
    facts, page = small
    counts = [item.times for item in facts.rules]
    assert counts == sorted(counts, reverse=True)
    relu = next(item for item in facts.rules if item.rule == "DeadRelu")
    assert relu.times > 0
    assert relu.aws["RuleTriggered"] == relu.times
    for shown in (relu.description, relu.advice, relu.first[0].text):
        assert html.escape(shown) in page
    without_data = [item for item in facts.rules if item.status == "no data"]
    assert without_data
    assert all(html.escape(str(item.details["needs"])) in page for item in without_data)


class NumpyRule(Rule):
    """Returns numpy types, as a rule of a user can do."""

    kind = "tensor"
    description, advice, source, needs = "d", "a", "s", "n"

    def see(self, record: Record) -> Iterator[records.Fired]:
        self.datapoints += 1
        if self.datapoints == 1:
            yield self.fire(record, -1, "t", several=np.arange(3), single=np.float32(0.5))

    def details(self) -> dict[str, object]:
        return {"count": np.int64(3), "where": Path("here")}


def test_a_rule_can_return_numpy_types(tmp_path: Path) -> None:
    gathered = Gathered()
    rule = NumpyRule(NumpyRule.Parameters())
    for record in SMALL.records():
        gathered.add(record)
        list(rule.feed(record))
    facts = summary.from_results(gathered, [rule.result()], running=False)
    again = Report.model_validate_json(facts.model_dump_json())
    assert again.rules[0].details == {"count": 3, "where": "here"}
    assert again.rules[0].first[0].evidence == {"several": [0, 1, 2], "single": 0.5}
    shown = page(facts, gathered)
    assert "<b>8 s: </b>" in shown  # the firing of a host has no step
    assert "step -1" not in shown


def test_curves_classes_operators_and_machines_are_facts(small: tuple[Report, str]) -> None:
    facts, page = small
    assert [item.epoch for item in facts.curves["validation:accuracy"]] == [0, 1]
    assert facts.confusion
    assert [item.pictures for item in facts.confusion.classes] == [7, 8]
    assert facts.confusion.pairs[0].truth == "b"
    assert {item.device for item in facts.operators} == {"cpu", "gpu"}
    usage = {item.name: item.figures for item in facts.system}
    assert usage["memory"].min >= 38
    assert usage["memory"].max <= 42
    assert facts.layers[0].collection == "gradients"
    assert "aten::convolution_backward" in page


def test_the_best_epoch_is_the_one_in_the_bundle(small: tuple[Report, str], tmp_path: Path) -> None:
    """The highest accuracy need not be: an epoch whose loss was lost is never in the bundle."""
    facts, page = small
    assert facts.best is None  # of a job that wrote no bundle, the highest accuracy counts
    highest = max(item.value for item in facts.curves["validation:accuracy"])
    assert facts.best_accuracy == (2, highest)
    assert f"{100 * highest:.1f} %" in page
    with Writer(tmp_path / "recording", "algo-1", 0) as writer:
        for record in SMALL.records():
            if isinstance(record, End):
                values = {"validation:accuracy": 0.125, "train:loss": 2.0}
                writer.write(records.Best(record.at, 1, values))
            writer.write(record)
    facts, page = written(tmp_path)
    assert facts.best
    assert facts.best.values["train:loss"] == 2.0
    assert facts.best_accuracy == (1, 0.125)
    assert "The best validation accuracy was 12.5 %." in facts.headline
    assert "best validation accuracy, epoch 1" in page


def cut(made: Made, until: int) -> Iterator[Record]:
    """Yield the records of a job that was killed after a step."""
    for record in made.records():
        yield record
        if isinstance(record, Step) and record.step == until:
            return


def test_a_job_without_an_end_ended_abruptly(tmp_path: Path) -> None:
    with Writer(tmp_path / "recording", "algo-1", 0) as writer:
        for record in cut(SMALL, 150):
            writer.write(record)
    facts, page = written(tmp_path)
    assert facts.job.status == "ended abruptly"
    assert facts.job.last_step == 150
    assert "The job ended abruptly" in page
    assert "the last step was 150" in page
    facts, page = written(tmp_path, running=True)
    assert facts.job.status == "running"
    assert "ended abruptly" not in page


def test_a_restarted_job_has_two_attempts(tmp_path: Path) -> None:
    gap = 5_000.0
    with Writer(tmp_path / "recording", "algo-1", 0) as writer:
        for record in cut(SMALL, 150):
            writer.write(record)
        start = START + gap
        writer.write(Start(start + 2, SMALL.job, 1, start, {}))
        writer.write(Step(start + 11, "train", 151, 0, start + 10, (), 64))
        writer.write(End(start + 12, "stopped", "patience"))
    facts, page = written(tmp_path)
    assert facts.job.status == "stopped"
    assert [item.status for item in facts.job.attempts] == [None, "stopped"]
    assert [item.last_step for item in facts.job.attempts] == [150, 151]
    assert "The job was started 2 times" in page
    assert facts.job.seconds == pytest.approx(gap + 12)
    # The time between two starts is not counted.
    assert facts.time.seconds < 300


def test_ranks_and_hosts_are_distinguished(tmp_path: Path) -> None:
    SMALL.write(tmp_path / "recording", "algo-1", 0)
    dataclasses.replace(SMALL, slow=9.0).write(tmp_path / "recording", "algo-2", 1)
    facts, page = written(tmp_path)
    assert facts.job.processes == ["algo-1, rank 0", "algo-2, rank 1"]
    assert facts.steps
    assert facts.steps.durations.count == 1_200
    slowest = facts.steps.outliers[0]
    assert slowest.process == "algo-2, rank 1"
    assert f"{slowest.step:,} (algo-2, rank 1)" in page
    # Of the main process, not the sum.
    took = {part.name: part.seconds for part in facts.time.parts}
    assert took["data_wait"] == pytest.approx(600 * 0.04 + 6 * SMALL.slow, rel=0.02)


def tuning() -> Tuning:
    """Twelve trials over a logarithmic number, a number and a word; trial 7 is the best."""
    trials = [
        Trial(
            name=f"trial-{number}",
            status="Completed" if number else "Failed",
            hyperparameters={
                "learning_rate": 10.0 ** -(number % 4),
                "epochs": 2 + number % 3,
                "optimizer": ("sgd", "adamw", "<script>alert(1)")[number % 3],
            },
            value=0.9 - abs(number - 7) / 50 if number else None,
            seconds=60.0 * number,
        )
        for number in range(12)
    ]
    trials.sort(key=lambda item: -(item.value or 0))
    found = Trials(objective="validation:accuracy", best="trial-7", trials=trials)
    return Tuning(
        headline="h", name="tune-1", status="Completed", cost=1.5, source="s", trials=found
    )


def test_a_tuning_job_has_a_page(tmp_path: Path) -> None:
    write_tuning(tuning(), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count('class="chart tall"') == 3
    assert "validation:accuracy over learning_rate (logarithmic)" in page
    assert "11 of 12" in page
    assert "$1.50" in page
    assert "<script>alert(1)" not in page


@pytest.mark.parametrize(
    ("cpu", "gpu", "finds"), [(96.0, False, True), (60.0, False, False), (96.0, True, False)]
)
def test_a_saturated_processor_is_the_first_finding(
    cpu: float, gpu: bool, finds: bool, tmp_path: Path
) -> None:
    made = dataclasses.replace(SMALL, cpu=cpu, gpu=gpu, instance_type="ml.c5.xlarge")
    cost = Cost(
        source="table",
        instance_type="ml.c5.xlarge",
        hourly=0.2,
        billed=900.0,
        gpu_machine="ml.g4dn.xlarge",
        gpu_hourly=0.7,
    )
    facts = write(made.write(tmp_path / "recording"), tmp_path / "report.html", cost=cost)
    first = facts.advice[0]
    assert ("so the processor was the limit" in first.finding) == finds
    assert any("Raise workers" in item.remedy for item in facts.advice) != finds
    page = text(tmp_path / "report.html")
    assert "$0.05" in page  # 900 s
    if finds:
        assert "It cost $0.05 (1 x ml.c5.xlarge, $0.20 an hour)" in facts.headline
        assert "ml.g4dn.xlarge, costs $0.70 an hour, 3.5 times as much" in first.remedy
        assert first.remedy in page


def test_figures_do_not_contradict_each_other(small: tuple[Report, str]) -> None:
    facts, page = small
    with_data, fired = len(facts.judging), sum(one.status == "fired" for one in facts.rules)
    assert f"{fired} of the {with_data} rules with data fired" in facts.headline
    counts = re.search(r"(\d+) rules: ([^.]*)\.", page)
    assert counts
    assert int(counts[1]) == len(facts.rules)
    assert sum(map(int, re.findall(r"\d+", counts[2]))) == len(facts.rules)
    assert [wording.share(n) for n in (0.996, 0.9999, 1.0, 0.5)] == [
        "99.6 %",
        "> 99.9 %",
        "100 %",
        "50 %",
    ]


def test_a_job_is_compared_with_another(tmp_path: Path) -> None:
    SMALL.write(tmp_path / "before")
    made = dataclasses.replace(SMALL, slow=0.0, job="now")
    facts = write(
        made.write(tmp_path / "recording"), tmp_path / "report.html", against=tmp_path / "before"
    )
    assert facts.against
    figures = {item.name: item for item in facts.against.figures}
    wait = figures["Data wait"]
    assert wait.before is not None
    assert wait.now is not None
    assert wait.before - wait.now == pytest.approx(6 * SMALL.slow, rel=0.05)
    assert figures["validation:accuracy"].before == figures["validation:accuracy"].now
    page = text(tmp_path / "report.html")
    assert f"Compared with {SMALL.job}" in page
    assert f"train, {SMALL.job}" in page


def test_values_that_are_not_finite_are_shown(tmp_path: Path) -> None:
    with Writer(tmp_path / "recording", "algo-1", 0) as writer:
        writer.write(Start(START, "j", 1, START, {}))
        for step in range(30):
            at = START + step + 1
            writer.write(
                Step(at, "train", step, 0, at - 1, (), 8, float("nan") if step > 20 else 1.0)
            )
            value = records.Statistics(0, 0, 0, 0, float("inf"), 0, 0.0, 0.5, 10)
            writer.write(records.Tensors(at, "train", step, "gradients", {"fc.weight": value}))
        writer.write(records.Scalar(START + 31, "validation:loss", 29, 0, float("nan")))
        writer.write(End(START + 31, "completed"))
    page = tmp_path / "report.html"
    write(tmp_path / "recording", page, tmp_path / "report.json")
    json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert "50 % of it was NaN or infinite" in text(page)


def test_a_report_of_an_almost_empty_recording(tmp_path: Path) -> None:
    with Writer(tmp_path / "recording", "algo-1", 0) as writer:
        writer.write(Start(START + 1, "j", 1, START, {}))
    facts, page = written(tmp_path)
    assert facts.job.status == "ended abruptly"
    assert facts.steps is None
    assert "no step was completed" in page
    assert "No training step was recorded." in page
    assert "No tensors were recorded" in page


def test_a_folder_without_a_recording_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="holds no recording"):
        write(tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()

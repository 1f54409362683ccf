"""Rules: settings, rules of other packages, live runs, and results in the schema of AWS."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from debugger import rules
from debugger.records import Fired, Note, Record, Scalar, Start, Step
from debugger.rules.live import Live
from debugger.rules.settings import BUILT_IN

LISTED = """
    VanishingGradient ExplodingTensor PoorWeightInitialization SaturatedActivation DeadRelu
    WeightUpdateRatio AllZero UnchangedTensor TensorVariance CheckInputImages LossNotDecreasing
    Overfit Overtraining ClassImbalance Confusion StalledTraining SimilarAcrossRuns BatchSize
    CPUBottleneck IOBottleneck Dataloader GPUMemoryIncrease MemoryIncrease LoadBalancing
    LowGPUUtilization StepOutlier MaxInitializationTime OverallSystemUsage OverallFrameworkMetrics
    ProfilerReport
""".split()


def step(number: int, loss: float = 1.0) -> Step:
    return Step(float(number + 1), "train", number, 0, float(number), (), 8, loss)


def test_every_rule_exists_and_describes_itself() -> None:
    made = rules.make({})
    assert [type(rule).__name__ for rule in made] == LISTED
    for rule in made:
        assert rule.kind in ("tensor", "profiler")
        for text in (rule.description, rule.advice, rule.source, rule.needs, type(rule).__doc__):
            assert text
            assert len(text) > 8
        parameters = set(type(rule).Parameters.model_fields) - {"action"}
        assert {name for name in parameters if f"`{name}`" not in str(type(rule).__doc__)} == set()
        assert rule.parameters.action == "report"


def test_a_rule_can_be_switched_off_and_set() -> None:
    made = {
        type(rule).__name__: rule
        for rule in rules.make(
            {"StepOutlier": {"stddev": 4, "action": "stop"}, "DeadRelu": False, "AllZero": True}
        )
    }
    assert made["StepOutlier"].parameters.stddev == 4
    assert made["StepOutlier"].parameters.action == "stop"
    assert "DeadRelu" not in made
    assert made["AllZero"].parameters.threshold == 100


def test_all_problems_of_the_settings_are_reported_together() -> None:
    with pytest.raises(rules.RuleSettingsError) as raised:
        rules.make(
            {
                "StepOutliers": {},
                "vanishinggradient": False,
                "DeadRelu": {"threshold_layers": 50},
                "AllZero": {"threshold": "100", "action": "panic"},
                "Overfit": 5,
            }
        )
    text = str(raised.value)
    for part in (
        "StepOutliers: no such rule (did you mean StepOutlier?)",
        "vanishinggradient: no such rule (did you mean VanishingGradient?)",
        "DeadRelu.threshold_layers: no such parameter (did you mean threshold_layer?)",
        "AllZero.threshold: Input should be a valid number (given '100')",
        "AllZero.action: Input should be 'report', 'log' or 'stop' (given 'panic')",
        "Overfit: must be an object of parameters, or false (given 5)",
    ):
        assert part in text


DOCS = (Path(__file__).parents[2] / "docs" / "debugger.md").read_text()
PLUGIN = DOCS.partition("### A rule of your own")[2].partition("```python")[2].partition("```")[0]


def test_the_docs_table_has_every_rule_with_its_defaults() -> None:
    table = DOCS.partition("| rule | fires when | defaults |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    documented = {row[0]: row[2].rstrip("| ") if len(row) > 2 else "" for row in rows}
    defaults = {
        rule.__name__: ", ".join(
            f"`{name}` {field.default!r}"
            for name, field in rule.Parameters.model_fields.items()
            if name != "action"
        )
        for rule in BUILT_IN
    }
    assert documented == defaults


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with a rule, in the layout that pip installs."""
    about = tmp_path / "too_good-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: too-good\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[kennel.rules]\nTooGood = too_good_rule:TooGood\n")
    (tmp_path / "too_good_rule.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("too_good_rule", None)


def test_another_package_can_provide_a_rule(installed: Path) -> None:
    (rule,) = [
        item for item in rules.make({"TooGood": {"limit": 0.5}}) if item.needs.endswith("cy")
    ]
    score = Scalar(1.0, "validation:accuracy", 7, 1, 0.75)
    (result,) = rules.evaluate([score], [rule])
    assert (result.rule, result.status, result.times, result.datapoints) == (
        "TooGood",
        "fired",
        1,
        1,
    )
    with pytest.raises(rules.RuleSettingsError, match="did you mean TooGood"):
        rules.make({"TooGod": {}})


def test_an_error_in_the_rule_of_a_package_names_the_package(installed: Path) -> None:
    (installed / "too_good_rule.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(
        rules.RuleSettingsError, match="TooGood: too_good_rule:TooGood does not load"
    ):
        rules.make({})


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (
            "AllZero = debugger.rules.tensor.gradients:VanishingGradient",
            "must be named VanishingGradient",
        ),
        ("AllZero = debugger.rules.tensor.tensors:AllZero", "has the same name as another rule"),
        ("Path = pathlib:Path", "is not a subclass of debugger.rules.Rule"),
    ],
)
def test_a_package_can_only_provide_rules(installed: Path, points: str, reason: str) -> None:
    (installed / "too_good-1.0.dist-info" / "entry_points.txt").write_text(
        f"[kennel.rules]\n{points}\n"
    )
    with pytest.raises(rules.RuleSettingsError, match=reason):
        rules.make({})


@dataclass(eq=False)
class Counting(rules.Rule):
    """Fires at every step, and breaks at the one whose loss is 0."""

    kind = "tensor"
    description = advice = source = needs = "counting"
    working: bool = False

    def see(self, record: Record) -> Iterator[Fired]:
        if isinstance(record, Step):
            self.datapoints += 1
            yield self.fire(record, record.step, f"it is {self.working or 1 / (record.loss or 0)}")


def counting(action: str = "report") -> Counting:
    return Counting(rules.RuleParameters.model_validate({"action": action}))


def test_live_returns_the_first_twenty_firings_with_their_action() -> None:
    rule = counting("stop")
    live = Live([rule])
    reactions = [reaction for number in range(30) for reaction in live.feed(step(number))]
    assert len(reactions) == 20
    assert {reaction.action for reaction in reactions} == {"stop"}
    first = reactions[0].record
    assert isinstance(first, Fired)
    assert (first.rule, first.step, first.at, first.text) == ("Counting", 0, 1.0, "it is 1.0")
    (result,) = live.results()
    assert (result.times, len(result.first), result.datapoints) == (30, 20, 30)


def test_a_rule_that_raises_is_switched_off_and_the_others_continue() -> None:
    broken, working = counting(), Counting(rules.RuleParameters(), working=True)
    live = Live([broken, working])
    live.feed(step(0))
    note, fired = (reaction.record for reaction in live.feed(step(1, loss=0.0)))
    assert isinstance(note, Note)
    assert "Counting is switched off: ZeroDivisionError" in note.text
    assert isinstance(fired, Fired)
    assert len(live.feed(step(2))) == 1
    assert working.result().times == 3
    assert "ZeroDivisionError" in broken.result().details["broken"]


def test_a_rule_without_data_says_what_it_needs() -> None:
    for result in rules.evaluate([], rules.make({})):
        assert result.status == "no data"
        assert result.details["needs"]


def test_results_are_json_in_the_schema_of_aws() -> None:
    losses = [step(number, loss=1.0 + number) for number in range(100)]
    for result in rules.evaluate(losses, rules.make({"LossNotDecreasing": {"num_steps": 5}})):
        aws = json.loads(json.dumps(result.to_aws()))
        assert list(aws) == [
            *("RuleTriggered", "Violations", "Details", "Datapoints", "RuleParameters")
        ]
        if result.rule == "LossNotDecreasing":
            assert aws["RuleTriggered"] == aws["Violations"] == aws["Datapoints"] == 17
            assert "num_steps:5\ndiff_percent:0.1" in aws["RuleParameters"]


def test_the_profiler_report_has_all_profiler_rules_sorted_by_firings() -> None:
    made = rules.make({"MaxInitializationTime": {"threshold": 0.001}})
    slow = [step(number) for number in range(3)]
    results = rules.evaluate([Start(-5.0, "job", 1, -10.0, {}), *slow], made)
    report = next(item for item in results if item.rule == "ProfilerReport")
    assert report.status == "quiet"
    names = [rule.__name__ for rule in BUILT_IN if rule.kind == "profiler"]
    assert set(report.details) == set(names) - {"ProfilerReport"}
    assert next(iter(report.details)) == "MaxInitializationTime"
    assert report.details["MaxInitializationTime"]["RuleTriggered"] == 1

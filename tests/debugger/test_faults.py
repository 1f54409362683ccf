"""Each rule finds a fault planted in a real training, and no rule fires in a healthy one."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from debugger import rules
from debugger.records import End, Fired, Record
from debugger.rules.settings import BUILT_IN
from tests.build_cache import BUILD
from tests.debugger import faults, hosts
from tests.debugger.faults import Training

pytestmark = pytest.mark.slow

TABLE = BUILD / "rules-and-faults.txt"
NEVER = {"OverallSystemUsage", "OverallFrameworkMetrics", "ProfilerReport"}
GPU_ONLY = {name for fired in hosts.FAULTS.values() for name in fired}

Found = dict[str, Counter[str]]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The networks are tiny, and the runs must be identical to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def found() -> Iterator[Found]:
    """Number of firings of each rule, by fault; written to a file at the end."""
    table: Found = {}
    yield table
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(shown(table))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Rule settings of every run: defaults, except for rules that need longer runs.

    SimilarAcrossRuns compares with a healthy run.
    """
    folder = tmp_path_factory.mktemp("twin")
    Training(epochs=1).run(folder)
    return {
        "SimilarAcrossRuns": {"other_recording": str(folder / "output" / "recording")},
        "TensorVariance": {"max_threshold": 100.0},
        "MemoryIncrease": {"patience": 2, "window": 2},
    }


@pytest.fixture(scope="module")
def healthy(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """The records of a healthy training."""
    training = Training(sample_every=0.05, settings={"debugger_rules": json.dumps(settings)})
    return training.run(tmp_path_factory.mktemp("healthy"))


def shown(table: Found) -> str:
    """Return the table of rules and faults."""
    width = max(map(len, table), default=0)
    lines = [
        f"{name:{width}}  " + (", ".join(f"{rule} {n}" for rule, n in counts.items()) or "-")
        for name, counts in table.items()
    ]
    return "\n".join(["number of firings of each rule, by fault", *lines, ""])


def times(results: list[rules.Result]) -> Counter[str]:
    return Counter({result.rule: result.times for result in results if result.times})


def with_samples(recorded: list[Record], host: Callable[[int], dict[str, float]]) -> list[Record]:
    """Return the records of a real run with the samples of a synthetic host."""
    samples = hosts.samples(host, recorded[0].at)
    rest = [
        replace(item, at=samples[-1].at) if isinstance(item, End) else item for item in recorded
    ]
    return sorted([*rest, *samples], key=lambda record: record.at)


def test_no_rule_fires_in_a_healthy_training(
    healthy: list[Record], settings: dict[str, object], found: Found
) -> None:
    results = rules.evaluate(healthy, rules.make(settings))
    found["healthy"] = times(results)
    assert found["healthy"] == {}
    assert not any(isinstance(record, Fired) for record in healthy)
    without_data = {result.rule for result in results if result.status == "no data"}
    assert without_data == GPU_ONLY | {"SaturatedActivation"}  # there is no GPU and no sigmoid


def test_no_rule_fires_on_a_busy_host(
    healthy: list[Record], settings: dict[str, object], found: Found
) -> None:
    results = rules.evaluate(with_samples(healthy, hosts.busy), rules.make(settings))
    found["healthy, GPUs busy"] = times(results)
    assert found["healthy, GPUs busy"] == {}
    without_data = {result.rule for result in results if result.status == "no data"}
    assert without_data == {"SaturatedActivation"}


def frozen_backbone(training: Training) -> None:
    for name, parameter in training.network.named_parameters():
        parameter.requires_grad_(name.startswith("fc"))


def few_epochs(training: Training) -> None:
    training.epochs = 3


@pytest.mark.parametrize("variant", [frozen_backbone, few_epochs])
def test_no_rule_fires_in_other_healthy_trainings(
    variant: Callable[[Training], None], tmp_path: Path, found: Found
) -> None:
    training = Training()
    variant(training)
    results = rules.evaluate(training.run(tmp_path), rules.make({}))
    name = variant.__name__.replace("_", " ")
    found[f"healthy, {name}"] = times(results)
    assert times(results) == {}


@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda fault: fault.__name__)
def test_a_rule_finds_a_fault_in_the_training(
    fault: Callable[[Training], None], settings: dict[str, object], tmp_path: Path, found: Found
) -> None:
    training = Training(settings={"debugger_rules": json.dumps(settings)})
    fault(training)
    recorded = training.run(tmp_path)
    results = rules.evaluate(recorded, rules.make(settings))
    fired = found[fault.__name__.replace("_", " ")] = times(results)
    assert set(faults.FAULTS[fault]) <= set(fired)
    if training.config().debugger:  # the rules found the same while the training ran
        live = Counter(record.rule for record in recorded if isinstance(record, Fired))
        assert live == Counter({name: min(20, count) for name, count in fired.items()})


@pytest.mark.parametrize("host", hosts.FAULTS, ids=lambda host: host.__name__)
def test_a_rule_finds_a_fault_of_a_host(
    host: Callable[[int], dict[str, float]],
    healthy: list[Record],
    settings: dict[str, object],
    found: Found,
) -> None:
    results = rules.evaluate(with_samples(healthy, host), rules.make(settings))
    fired = found[f"{host.__name__.replace('_', ' ')} (synthetic host)"] = times(results)
    assert set(fired) == set(hosts.FAULTS[host])


def test_every_rule_has_its_fault(found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    planted = [*faults.FAULTS.values(), *hosts.FAULTS.values()]
    have = {rule for fired in planted for rule in fired}
    assert have == {rule.__name__ for rule in BUILT_IN} - NEVER
    with capsys.disabled():
        print("\n" + shown(found))


def test_outliers_have_their_cause(tmp_path: Path) -> None:
    training = Training()
    faults.sleeping_step_every_50(training)
    results = rules.evaluate(training.run(tmp_path), rules.make({}))
    (outlier,) = (result for result in results if result.rule == "StepOutlier")
    table = next(item for item in outlier.details["steps"] if item["mode"] == "train")
    assert [item["step"] for item in table["longest"]] == list(range(49, 600, 50))
    assert table["outliers"] == 12
    assert outlier.datapoints == 599 + 24 * 3 - 1  # all steps except the first of each mode
    for item in table["longest"]:
        assert item["longer"] == "forward"
        assert item["longer_by"] == pytest.approx(0.5 * (1 - 12 / 599), rel=0.02)

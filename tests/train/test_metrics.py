"""CloudWatch finds exactly one value of each metric in the log, of any size."""

import re

import pytest

from train.metrics import METRICS, definitions, emit


@pytest.mark.parametrize("value", [0.0, 1.0, 0.93125, 1e-12, 123456.75, -2.5e8])
@pytest.mark.parametrize("name", METRICS)
def test_each_regex_finds_only_its_own_line(
    name: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    emit(name, value, epoch=3)
    log = capsys.readouterr().out
    found = {
        item["Name"]: [float(text) for text in re.findall(item["Regex"], log)]
        for item in definitions()
    }
    assert found.pop(name) == [pytest.approx(value, rel=1e-7)]
    assert not any(found.values())


def test_a_value_that_is_not_a_number_is_logged_but_not_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    emit("train:loss", float("nan"), epoch=1)
    log = capsys.readouterr().out
    assert log == "train:loss is nan in epoch 1\n"
    assert not any(re.search(item["Regex"], log) for item in definitions())


def test_the_definitions_are_within_sagemakers_limits() -> None:
    """Limits from the API reference of MetricDefinition and CreateTrainingJob."""
    assert len(definitions()) <= 40
    assert all(len(item["Name"]) <= 255 and len(item["Regex"]) <= 500 for item in definitions())

import json
import math

import pytest

from serve.answers import FORMATS, Format, Prediction, choose
from serve.errors import RequestError

RAW, VERBOSE = FORMATS


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, RAW),
        ("", RAW),
        ("*/*", RAW),
        ("application/*", RAW),
        ("application/json", RAW),
        ("Application/JSON; charset=UTF-8", RAW),
        ("application/json;verbose", VERBOSE),
        ("application/json; verbose", VERBOSE),
        ("text/html, application/json;verbose;q=0.4, application/json;q=0.9", RAW),
        ("application/json;q=0.4, application/json;verbose", VERBOSE),
        ("*/*, application/json;verbose", VERBOSE),
        ("application/json;verbose, */*;q=0", VERBOSE),
        ("application/json;q=0, application/json;verbose;q=0.1", VERBOSE),
        ("text/csv, */*;q=0.1", RAW),
        ("nonsense, application/json", RAW),
    ],
)
def test_the_format_asked_for_is_chosen(accept: str | None, expected: object) -> None:
    assert choose(accept) is expected


@pytest.mark.parametrize(
    "accept", ["text/csv", "application/json;q=0", "*/*;q=0", "application/json;indent=2", "json"]
)
def test_a_format_that_is_not_offered_is_refused_with_those_that_are(accept: str) -> None:
    with pytest.raises(RequestError) as refusal:
        choose(accept)
    assert refusal.value.code == 406
    assert "application/json;verbose" in refusal.value.hint


def test_who_does_not_care_gets_the_default() -> None:
    assert choose("*/*", default=VERBOSE) is VERBOSE
    assert choose(None, default=VERBOSE) is VERBOSE
    assert choose("application/json", default=VERBOSE) is RAW


def test_raw_outputs_keep_class_order_and_every_digit() -> None:
    logits = (0.1, -3.25, 1e-7)
    assert json.loads(RAW.encode(Prediction(logits, ("a", "b", "c")))) == list(logits)


def test_labelled_probabilities_sum_to_one_and_are_cooled_by_the_temperature() -> None:
    prediction = Prediction((1000.0, 1001.0, 990.0), ("a", "ö", "c"), temperature=2.0)
    answer = json.loads(VERBOSE.encode(prediction))
    assert answer["labels"] == ["a", "ö", "c"]
    assert answer["predicted_label"] == "ö"
    assert sum(answer["probabilities"]) == pytest.approx(1)
    ratio = answer["probabilities"][1] / answer["probabilities"][0]
    assert ratio == pytest.approx(math.exp(0.5))


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.accept)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_logit_that_is_no_number_is_never_written(known: Format, broken: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        known.encode(Prediction((1.0, broken), ("a", "b")))

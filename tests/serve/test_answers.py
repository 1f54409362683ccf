import io
import json
import math

import numpy as np
import pytest

from serve.errors import RequestError
from serve.formats.accepting import choose
from serve.formats.answers import FORMATS, Format, Prediction
from serve.formats.options import Options

RAW, VERBOSE, TORCHSERVE, HUGGING_FACE, LINES, *LABELLED_LINES, CSV, NPY = FORMATS
DOGS = Prediction((1.0, 3.0, 2.0), ("a", "ö", "c"))
NONE = Options()


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
        ("text/html, */*;q=0.1", RAW),
        ("text/csv", CSV),
        ("application/jsonlines", LINES),
        ("application/json;torchserve", TORCHSERVE),
        ("application/json;huggingface", HUGGING_FACE),
        ("nonsense, application/json", RAW),
        ("*", RAW),
        ("text/html, *;q=0.2", RAW),
    ],
)
def test_accept_selects_the_format(accept: str | None, expected: object) -> None:
    assert choose(accept) is expected


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0", "application/json;indent=2", "json"]
)
def test_an_unknown_format_is_refused_and_the_known_ones_are_named(accept: str) -> None:
    with pytest.raises(RequestError) as refusal:
        choose(accept)
    assert refusal.value.code == 406
    assert "application/json;verbose" in refusal.value.hint


def test_a_client_without_a_preference_gets_the_default() -> None:
    assert choose("*/*", default=VERBOSE) is VERBOSE
    assert choose(None, default=VERBOSE) is VERBOSE
    assert choose("application/json", default=VERBOSE) is RAW


def test_raw_outputs_keep_class_order_and_every_digit() -> None:
    logits = (0.1, -3.25, 1e-7)
    prediction = Prediction(logits, ("a", "b", "c"))
    assert json.loads(RAW.encode([prediction], NONE)) == list(logits)


def test_labelled_probabilities_sum_to_one_and_use_the_temperature() -> None:
    prediction = Prediction((1000.0, 1001.0, 990.0), ("a", "ö", "c"), temperature=2.0)
    answer = json.loads(VERBOSE.encode([prediction], NONE))
    assert answer["labels"] == ["a", "ö", "c"]
    assert answer["predicted_label"] == "ö"
    assert sum(answer["probabilities"]) == pytest.approx(1)
    ratio = answer["probabilities"][1] / answer["probabilities"][0]
    assert ratio == pytest.approx(math.exp(0.5))
    assert set(answer) == {"labels", "predicted_label", "probabilities"}


def test_the_verbose_answer_has_novelty_and_heat_map() -> None:
    prediction = Prediction(
        (1.0, 2.0), ("a", "b"), novelty=0.25, heat_map=b"png", heat_map_share=0.875
    )
    answer = json.loads(VERBOSE.encode([prediction], NONE))
    assert answer["novelty"] == 0.25
    assert answer["heat_map"] == "data:image/png;base64,cG5n"
    assert answer["heat_map_share"] == 0.875


def test_top_k_and_threshold_sort_the_classes() -> None:
    answer = json.loads(VERBOSE.encode([DOGS], Options(top_k=2)))
    assert answer["labels"] == ["ö", "c"]
    assert answer["probabilities"] == sorted(DOGS.probabilities(), reverse=True)[:2]
    answer = json.loads(VERBOSE.encode([DOGS], Options(threshold=0.5)))
    assert answer["labels"] == ["ö"]
    none = json.loads(VERBOSE.encode([DOGS], Options(threshold=0.99)))
    assert none == {"probabilities": [], "labels": [], "predicted_label": None}


def test_the_formats_of_other_servers() -> None:
    probabilities = DOGS.probabilities()
    ranked = json.loads(TORCHSERVE.encode([DOGS], NONE))
    assert next(iter(ranked.items())) == ("ö", probabilities[1])
    listed = json.loads(HUGGING_FACE.encode([DOGS], Options(top_k=1)))
    assert listed == [{"label": "ö", "score": probabilities[1]}]
    many = Prediction(tuple(map(float, range(9))), tuple("abcdefghi"))
    assert len(json.loads(TORCHSERVE.encode([many], NONE))) == 5
    assert json.loads(LINES.encode([DOGS], NONE)) == {"prediction": probabilities}
    assert [float(cell) for cell in CSV.encode([DOGS], NONE).split(b",")] == probabilities


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.accept)
def test_a_list_of_pictures_gets_a_list_of_single_answers(known: Format) -> None:
    pair = known.encode([DOGS, DOGS], NONE, is_list=True)
    one = known.encode([DOGS], NONE)
    if known is NPY:
        first, second = np.load(io.BytesIO(pair))
        assert first.tolist() == second.tolist() == np.load(io.BytesIO(one)).tolist()
        return
    if known.is_lines or known is CSV:
        assert pair == one + b"\n" + one
    else:
        assert json.loads(pair) == [json.loads(one)] * 2
        assert json.loads(known.encode([DOGS], NONE, is_list=True)) == [json.loads(one)]


def test_an_option_that_a_format_cannot_express_is_refused_and_the_formats_that_can_are_named() -> (
    None
):
    for known in FORMATS:
        for options in (Options(top_k=1), Options(threshold=0.5), Options(explain="gradcam")):
            fits = known.has_extras if options.explain else known.has_labels
            if fits:
                known.check(options)
                continue
            with pytest.raises(RequestError) as refusal:
                known.check(options)
            assert refusal.value.code == 400
            assert "application/json;verbose" in refusal.value.hint
        known.check(NONE)


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.accept)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_nan_and_infinity_are_never_written(known: Format, broken: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        known.encode([Prediction((1.0, broken), ("a", "b"))], NONE)

"""Where the rules differ from AWS's definitions: healthy jobs must not fire, faulty ones must."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from debugger import records, rules
from debugger.records import (
    ACTIVATIONS,
    GRADIENTS,
    INPUTS,
    WEIGHTS,
    Confusion,
    Operators,
    Record,
    Scalar,
    Span,
    Start,
    Statistics,
    Step,
    Tensors,
)

PLAIN = Statistics(0.0, 0.1, -1.0, 1.0, 5.0, 0.05, 0.0, 0.0, 64)
ZERO = Statistics(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 64)


def result(
    rule: str, stream: Sequence[Record], parameters: Mapping[str, Any] | None = None
) -> rules.Result:
    made = rules.make({rule: dict(parameters or {})})
    (found,) = (item for item in rules.evaluate(stream, made) if item.rule == rule)
    return found


def tensors(collection: str, *values: Mapping[str, Statistics]) -> list[Record]:
    """Return a record for each of the values, ten steps apart."""
    return [
        Tensors(float(number), "train", 10 * number, collection, item)
        for number, item in enumerate(values)
    ]


def weights(*changes: float, name: str = "conv.weight", l2: float = 5.0) -> list[Record]:
    return tensors(WEIGHTS, *({name: replace(PLAIN, change=item, l2=l2)} for item in changes))


def training(losses: Sequence[float], seconds: Sequence[float] = ()) -> list[Record]:
    made, at = list[Record](), 0.0
    for number, loss in enumerate(losses):
        took = seconds[number] if seconds else 1.0
        spans = (Span(records.FORWARD, at, took),)
        made.append(Step(at + took, "train", number, 0, at, spans, 8, loss))
        at += took
    return made


# ---- gradients and weights -------------------------------------------------------------------


def test_a_bias_before_a_batch_norm_needs_no_gradient() -> None:
    item = {"conv.weight": PLAIN, "conv.bias": replace(PLAIN, mean_abs=1e-10)}
    assert result("VanishingGradient", tensors(GRADIENTS, item)).status == "quiet"
    both = item | {"conv.weight": replace(PLAIN, mean_abs=1e-9)}
    found = result("VanishingGradient", tensors(GRADIENTS, both))
    assert (found.times, found.first[0].evidence["modules"]) == (1, {"conv": 1e-9})


def test_small_gradients_are_fine_when_the_loss_is_small() -> None:
    small = tensors(GRADIENTS, {"fc.weight": replace(PLAIN, mean_abs=1e-9)})
    assert result("VanishingGradient", [*training([1e-6]), *small]).times == 0
    assert result("VanishingGradient", [*training([1.0]), *small]).times == 1


def test_infinite_gradients_are_fine_with_a_loss_scale() -> None:
    infinite = tensors(GRADIENTS, {"fc.weight": replace(PLAIN, nonfinite=0.5)})
    start = Start(0.0, "job", 1, 0.0, {"precision": "float16"})
    assert result("ExplodingTensor", [start, *infinite]).times == 0
    assert result("ExplodingTensor", infinite).times == 1
    assert result("ExplodingTensor", [start, *training([float("nan")])]).times == 1


@pytest.mark.parametrize(
    ("changes", "times"),
    [
        ((0.0, 1e-4, 1e-3), 0),  # the learning rate starts at 0
        ((1e-3, 1e-5, 1e-9, 1e-10), 0),  # and ends near 0
        ((1e-9, 1e-9, 1e-9), 2),  # but it must not stay near 0 from the first step on
        ((1e-3, 20.0), 1),
    ],
)
def test_updates_of_weights_are_checked(changes: tuple[float, ...], times: int) -> None:
    assert result("WeightUpdateRatio", weights(*changes)).times == times


def test_a_weight_that_does_not_change_while_others_do_is_found() -> None:
    moving = replace(PLAIN, change=1e-3)
    both = {"conv.weight": replace(PLAIN, change=0.0), "fc.weight": moving}
    found = result("WeightUpdateRatio", tensors(WEIGHTS, both))
    assert found.first[0].evidence["tensors"] == {"conv.weight": 0.0}


def test_a_weight_that_starts_at_zero_can_change_by_any_factor() -> None:
    assert result("WeightUpdateRatio", weights(1e9, l2=1e-3)).times == 0  # 1e-3 / 1e-12
    assert result("WeightUpdateRatio", weights(50.0, name="fc.bias")).times == 0


def test_a_weight_that_starts_at_zero_is_a_finding_only_if_it_stays_zero() -> None:
    zero = {"bn.weight": ZERO, "bn.bias": ZERO}
    plain = {"bn.weight": PLAIN, "bn.bias": ZERO}
    assert result("AllZero", tensors(WEIGHTS, zero, plain, zero)).times == 0
    assert result("AllZero", tensors(WEIGHTS, zero, zero, plain)).times == 1


def test_weights_that_are_not_trained_can_stay_unchanged() -> None:
    same = [{"conv.weight": PLAIN}] * 4
    assert result("UnchangedTensor", tensors(WEIGHTS, *same)).status == "no data"
    graded = tensors(GRADIENTS, {"conv.weight": PLAIN})
    assert result("UnchangedTensor", [*graded, *tensors(WEIGHTS, *same)]).times == 2
    assert result("UnchangedTensor", weights(*[1e-6] * 4)).times == 0  # small changes are changes
    assert result("UnchangedTensor", weights(*[0.0] * 4)).times == 2


def test_variance_is_checked_only_with_a_bound() -> None:
    stream = tensors(WEIGHTS, {"fc.weight": PLAIN, "fc.bias": replace(PLAIN, std=50.0)})
    assert result("TensorVariance", stream).status == "no data"
    assert result("TensorVariance", stream, {"max_threshold": 1.0}).times == 0
    assert result("TensorVariance", stream, {"max_threshold": 0.009}).times == 1
    assert result("TensorVariance", stream, {"min_threshold": 0.011}).times == 1


# ---- pictures and losses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "mean", "high", "times"),
    [
        (-2.1, -1.2, 2.6, 0),  # dark pictures, normalised
        (0.0, 0.45, 1.0, 1),
        (0.0, 110.0, 255.0, 1),
        (-2.1, 480.0, 1111.0, 1),  # normalised by figures for 0..1
        (-0.5, 0.0, 0.5, 0),
    ],
)
def test_pictures_that_are_not_normalised_are_found(
    low: float, mean: float, high: float, times: int
) -> None:
    item = replace(PLAIN, min=low, mean=mean, max=high)
    stream = [*training([1.0]), *tensors(INPUTS, *[{"images": item}] * 63)]  # 8 pictures each
    assert result("CheckInputImages", stream).times == times
    assert result("CheckInputImages", stream[:-1]).status == "no data"


def noisy(falls: float, steps: int = 400) -> list[float]:
    """Return losses that oscillate by a third and fall by `falls` in total."""
    return [
        2.0 - falls * number / steps + 0.6 * ((number * 7919) % 101 / 100 - 0.5)
        for number in range(steps)
    ]


def test_the_loss_can_oscillate_while_it_falls_but_must_not_stay_or_rise() -> None:
    assert result("LossNotDecreasing", training(noisy(1.0))).times == 0
    assert result("LossNotDecreasing", training(noisy(-1.0))).times > 30
    assert result("LossNotDecreasing", training([2.0] * 60)).times == 3
    assert result("LossNotDecreasing", training([2.0] * 39)).status == "no data"
    burst = [*noisy(1.5), *[number / 50 for number in range(100, 200)]]
    rising = result("LossNotDecreasing", training(burst))
    assert "rises" in rising.first[0].text


def epochs(*losses: tuple[float, float]) -> list[Record]:
    return [
        Scalar(float(epoch), name, 10 * epoch, epoch, value)
        for epoch, pair in enumerate(losses, start=1)
        for name, value in zip(("train:loss", "validation:loss"), pair, strict=True)
    ]


def test_validation_can_be_worse_than_training_while_it_improves() -> None:
    better = [(1 / epoch**2, 1 / epoch) for epoch in range(1, 9)]
    assert result("Overfit", epochs(*better)).times == 0
    worse = [*better, (0.01, 0.15), (0.01, 0.2), (0.01, 0.13), (0.01, 0.2)]
    found = result("Overfit", epochs(*worse))
    assert [fired.evidence["epoch"] for fired in found.first] == [10]


# ---- classes ---------------------------------------------------------------------------------


def confusion(
    *counts: tuple[int, int, int], mode: records.Mode = "eval", classes: int = 3
) -> Record:
    return Confusion(1.0, mode, 0, 0, classes, counts)


def test_class_balance_is_checked_only_with_enough_pictures() -> None:
    few = confusion((0, 0, 30), (1, 1, 1), mode="train")
    assert result("ClassImbalance", [few] * 2).status == "no data"
    found = result("ClassImbalance", [few] * 20)  # training batches are summed
    assert (found.datapoints, found.times) == (4, 4)
    assert found.details == {"pictures": {"train": {"0": 600, "1": 20, "2": 0}}}


def test_a_rare_class_that_fails_alone_is_found() -> None:
    counts = ((0, 0, 300), (1, 1, 280), (2, 0, 60))
    found = result("ClassImbalance", [confusion(*counts)])
    assert found.first[0].evidence["classes"] == {"2": 1.0}
    untrained = ((0, 1, 300), (1, 0, 280), (2, 0, 60))
    assert result("ClassImbalance", [confusion(*untrained)]).times == 0


def test_confusion_must_be_large_and_repeat() -> None:
    mistaken = confusion((0, 0, 40), (1, 2, 12), (1, 1, 8), (2, 2, 40))
    better = confusion((0, 0, 40), (1, 2, 9), (1, 1, 11), (2, 2, 40))
    few = confusion((0, 0, 40), (1, 2, 5), (1, 1, 2), (2, 2, 40))
    untrained = confusion((0, 2, 40), (1, 2, 20), (2, 2, 40))
    assert result("Confusion", [mistaken]).times == 0
    assert result("Confusion", [mistaken, mistaken]).times == 1
    assert result("Confusion", [mistaken, mistaken]).details["pairs"] == [
        {"true": 1, "answered": 2, "share": 0.6}
    ]
    for stream in ([mistaken, better, mistaken], [few, few], [untrained, untrained]):
        assert result("Confusion", stream).status == "quiet"


# ---- time ------------------------------------------------------------------------------------


def test_outliers_need_over_a_hundred_steps_and_more_than_ten_slow_ones() -> None:
    seconds = [3.0 if number % 40 == 39 else 0.2 for number in range(480)]
    found = result("StepOutlier", [*training([1.0] * 480, seconds), end(130.0)])
    assert [fired.evidence["outliers"] for fired in found.first] == [11, 12]  # at 120 s, at the end
    assert result("StepOutlier", [*training([1.0] * 399, seconds[:399]), end(500.0)]).times == 0
    ten = [1.0 if number < 20 and number % 2 else 0.2 for number in range(99)]
    assert result("StepOutlier", [*training([1.0] * 99, ten), end(500.0)]).times == 0


def end(at: float) -> Record:
    return records.End(at, "completed")


def test_profiled_and_first_steps_do_not_hide_the_outliers() -> None:
    seconds = [3.0 if number % 40 == 39 else 0.2 for number in range(480)]
    seconds[0] = seconds[11] = seconds[12] = 60.0
    start = Start(0.0, "job", 1, 0.0, {})
    steps = training([1.0] * 480, seconds)
    profiled = Operators(steps[13].at, "cpu", 10, 2, 1.0, ())
    stream = [start, *steps[:14], profiled, *steps[14:], end(2000.0)]
    quiet = {"scan_interval_us": 10**12}
    found = result("StepOutlier", stream, quiet)
    assert found.times == 1
    assert found.details["steps"][0]["outliers"] == 12
    hidden = result("StepOutlier", [*steps, end(2000.0)], quiet)
    assert hidden.times == 0


def test_a_job_that_hangs_is_found_once_by_the_time_of_samples() -> None:
    def samples(begin: int, until: int) -> list[Record]:
        return [records.System(float(at), {"cpu": 1.0}) for at in range(begin, until, 60)]

    stream = [*training([1.0]), *samples(2, 4000), *[replace_at(4000.0)], *samples(4001, 5000)]
    found = result("StalledTraining", stream)
    assert found.times == 1
    assert found.first[0].at < 1900


def replace_at(at: float) -> Record:
    return Step(at, "train", 1, 0, at - 1, (), 8, 1.0)


def test_the_time_between_two_starts_does_not_count() -> None:
    later = Start(90_000.0, "job", 1, 89_990.0, {})
    stream = [*training([1.0]), later, replace_at(90_010.0)]
    assert result("StalledTraining", stream).times == 0
    slow = result("MaxInitializationTime", stream, {"threshold": 0.3})
    assert slow.first[0].evidence["seconds"] == 19.0


def test_activations_of_every_layer_are_checked() -> None:
    layers = {"relu": replace(PLAIN, dead=0.6), "other": replace(PLAIN, dead=0.4), "conv": PLAIN}
    found = result("DeadRelu", tensors(ACTIVATIONS, layers))
    assert (found.datapoints, found.first[0].evidence["layers"]) == (2, {"relu": 0.6})
    assert result("DeadRelu", tensors(ACTIVATIONS, layers), {"threshold_layer": 70}).times == 0
    assert result("SaturatedActivation", tensors(ACTIVATIONS, layers)).status == "no data"

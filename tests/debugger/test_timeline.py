"""The time split of records with known times."""

import pytest

from debugger import records
from debugger.records import Phase, Record, Span, Step
from debugger.timeline import Timeline


def step(at: float, number: int = 0, wait: float = 1.0) -> Step:
    """A training step from `at` on: the wait, 0.5 s of copy, 2 s of forward and 1.25 s of other."""
    spans = (
        Span(records.DATA_WAIT, at, wait),
        Span(records.COPY, at + wait, 0.5),
        Span(records.FORWARD, at + wait + 0.5, 2.0),
        Span(records.RECORDING, at + wait, 0.25),
    )
    return Step(at + wait + 3.75, "train", number, 0, at, spans, 8)


JOB: list[Record] = [
    records.Start(103.0, "job", 1, 100.0, {}),
    Phase(110.0, records.INITIALISATION, 100.0, 0),
    step(110.0),
    step(115.0, 1, wait=2.0),
    Step(121.5, "eval", 1, 0, 121.0, (), 8),
    Phase(123.0, records.EVALUATION, 121.0, 1),
    Phase(126.0, records.CHECKPOINT, 124.0, 1),
    step(126.0, 2),
    Phase(131.5, records.CHECKPOINT, 131.0, 2),
    records.End(132.0, "completed"),
]


def test_every_second_of_the_job_counts_once() -> None:
    split = Timeline.of(JOB)
    assert (split.start, split.end, split.total) == (100.0, 132.0, 32.0)
    assert split.initialisation == 10.0
    assert split.finalisation == 132.0 - 130.75  # includes the last checkpoint
    assert split.loop == 130.75 - 110.0
    assert (split.data_wait, split.copy, split.forward) == (4.0, 1.5, 6.0)
    assert (split.recording, split.evaluation, split.checkpoint) == (0.75, 2.0, 2.0)
    assert split.train == 3 * 3.5
    assert split.other == pytest.approx(split.loop - 4.0 - 1.5 - 6.0 - 0.75 - 2.0 - 2.0)
    assert split.outside == split.loop - 3 * 3.5 - 2.0


def test_a_job_without_an_end_has_no_finalisation() -> None:
    split = Timeline.of(JOB[:-1])
    assert (split.finalisation, split.end, split.loop) == (0.0, 131.5, 21.5)
    assert split.checkpoint == 2.5


def test_starts_are_added_up_without_the_time_between() -> None:
    again = [records.Start(203.0, "job", 1, 200.0, {}), step(205.0, 3)]
    split = Timeline.of([*JOB, *again])
    assert split.total == 32.0 + 9.75
    assert split.initialisation == 10.0 + 5.0
    assert split.train == 4 * 3.5


def test_a_split_is_available_at_any_time_and_for_one_process() -> None:
    timeline = Timeline()
    for record in JOB[:6]:
        timeline.add(record)
    assert timeline.split() == timeline.split() == Timeline.of(JOB[:6])
    other = records.Step(110.0, "train", 0, 0, 100.0, (), 8, rank=1)
    assert Timeline.of([JOB[0], other, *JOB[1:]]) == Timeline.of(JOB)


def test_parallel_phases_count_once() -> None:
    busy = Step(3.0, "train", 0, 0, 0.0, (Span(records.FORWARD, 0.0, 3.0),), 8)
    waited = Step(
        5.0,
        "train",
        1,
        0,
        1.0,
        (Span(records.DATA_WAIT, 1.0, 2.5), Span(records.FORWARD, 3.5, 1.5)),
        8,
    )
    split = Timeline.of([busy, waited])
    assert (split.forward, split.data_wait, split.train, split.loop) == (4.5, 0.5, 4.5, 5.0)


def test_evaluation_steps_alone_are_an_evaluation() -> None:
    split = Timeline.of([step(0.0), Step(8.0, "eval", 0, 0, 6.0, (), 8)])
    assert (split.evaluation, split.train) == (2.0, 3.5)
    assert Timeline.of([]).total == 0.0

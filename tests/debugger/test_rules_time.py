"""Time split and outliers, compared with known times.

The first job is a reconstruction of a user's job: 4,088 s, initialisation 73 s, finalisation 1 s, a
third of the loop outside of TRAIN and EVAL, 212 steps checked, StepOutlier fired seven times. The
second is a short real training with measured delays.
"""

import math
import statistics
import threading
import time
from pathlib import Path

import pytest
import torch

from debugger import records, rules
from debugger.records import Phase, Record, Span, Step
from debugger.timeline import Timeline
from tests.debugger.faults import Clock, Training

START = 1_683_477_831.0  # 2023-05-07 16:43:51
INITIALISATION, LOOP, FINALISATION = 73.0, 4013.4, 1.2
STEPS, OUTLIERS = 213, 12  # the first step does not count
EVALUATION = 120.0  # after each epoch of 71 steps
OUTSIDE = LOOP / 3
EARLY = range(20, 60, 4)  # the first ten outliers
LATE = (192, 193)  # the last two outliers: now more than ten


def planted() -> list[float]:
    """Return the duration of each step: all equal except the outliers."""
    work = LOOP - OUTSIDE - 3 * EVALUATION
    outliers = {*EARLY, *LATE}
    usual = work / (STEPS + 5 * len(outliers))
    return [6 * usual if step in outliers else usual for step in range(STEPS)]


def job() -> list[Record]:
    """Return the records of the job; the outliers are in the backward pass."""
    seconds = planted()
    wait, between = 0.4 * OUTSIDE / STEPS, 0.6 * OUTSIDE / STEPS
    at = START + INITIALISATION
    made: list[Record] = [
        records.Start(START + 9, "dogs", 1, START, {"workers": 4, "cores": 4}),
        Phase(at, records.INITIALISATION, START, 0),
    ]
    for step, took in enumerate(seconds):
        forward = min(seconds) / 3
        spans = (
            Span(records.DATA_WAIT, at, wait),
            Span(records.FORWARD, at + wait, forward),
            Span(records.BACKWARD, at + wait + forward, took - forward),
        )
        made.append(
            Step(at + wait + took, "train", step, step // 71, at, spans, 32, 4.0 / (1 + step))
        )
        at += wait + took + between
        if step % 71 == 70:
            at -= between if step == STEPS - 1 else 0  # the loop ends with an evaluation
            made.append(Phase(at + EVALUATION, records.EVALUATION, at, step))
            at += EVALUATION
    end = at + FINALISATION
    made.append(Phase(end, records.FINALISATION, at, STEPS - 1))
    return [*made, records.End(end, "completed")]


def scans_that_fire(made: list[Record]) -> int:
    """Count the scans with more than ten outliers, directly from the definition."""
    steps = [record for record in made if isinstance(record, Step)][1:]
    fired, scan = 0, made[0].at + 60
    for number, step in enumerate(steps, start=1):
        if step.at >= scan:
            scan += 60 * math.ceil((step.at - scan + 1e-9) / 60)
            fired += _many([item.seconds for item in steps[:number]])
    return fired + _many([item.seconds for item in steps])  # and one at the end


def _many(seconds: list[float]) -> bool:
    limit = statistics.mean(seconds) + 3 * statistics.pstdev(seconds)
    return len(seconds) > 100 and sum(item > limit for item in seconds) > 10


def test_the_job_of_the_user_has_the_findings_of_the_user() -> None:
    made = job()
    results = {
        result.rule: result
        for result in rules.evaluate(
            made, rules.make({"MaxInitializationTime": {"threshold": 1.0}})
        )
    }
    time_split = results["OverallFrameworkMetrics"].details["algo-1-0"]
    seconds, percent = time_split["seconds"], time_split["percent_of_loop"]
    assert seconds["start"] == START
    within = {
        "initialisation": INITIALISATION,
        "loop": LOOP,
        "finalisation": FINALISATION,
        "total": INITIALISATION + LOOP + FINALISATION,
        "train": sum(planted()),
        "evaluation": 3 * EVALUATION,
        "outside": OUTSIDE,
        "data_wait": 0.4 * OUTSIDE,
        "other": 0.6 * OUTSIDE,
    }
    for name, truth in within.items():
        assert seconds[name] == pytest.approx(truth, rel=0.02), name
    assert percent["outside"] == pytest.approx(100 / 3, rel=0.02)

    outlier = results["StepOutlier"]
    assert outlier.datapoints == 212
    assert outlier.times == scans_that_fire(made) == 7
    assert outlier.first[0].evidence["outliers"] > 10
    (table,) = outlier.details["steps"]
    assert table["outliers"] == OUTLIERS
    assert [item["step"] for item in table["longest"]] == [*EARLY, *LATE]
    usual = min(planted())
    for item in table["longest"]:
        assert item["longer"] == "backward"
        assert item["seconds"] == pytest.approx(6 * usual + 0.4 * OUTSIDE / STEPS, rel=0.02)

    slow = results["MaxInitializationTime"]
    assert (slow.times, slow.datapoints) == (1, 1)
    assert slow.first[0].evidence["seconds"] == pytest.approx(INITIALISATION, rel=0.02)
    fired = {name for name, result in results.items() if result.times}
    assert fired == {"StepOutlier", "MaxInitializationTime"}


PACE = 0.2  # scale of CPU time, so that it is short compared with the delays


class RealClock(Clock):
    """Real time without the time that other processes of a busy machine take.

    It is the CPU time of the test's thread plus the measured delays.
    """

    def __init__(self) -> None:
        super().__init__()
        self._offset = self.now - PACE * time.thread_time()
        self.waited: dict[str, float] = {}

    def mark(self) -> float:
        if threading.current_thread() is threading.main_thread():
            self.now = self._offset + PACE * time.thread_time() + sum(self.waited.values())
        return self.now

    def sleep(self, kind: str, seconds: float) -> None:
        begun, busy = time.perf_counter(), time.thread_time()
        time.sleep(seconds)
        slept = time.perf_counter() - begun - (time.thread_time() - busy)
        self.waited[kind] = self.waited.get(kind, 0.0) + slept


@pytest.mark.slow
def test_delays_in_a_real_run_appear_in_the_right_phase(tmp_path: Path) -> None:
    clock = RealClock()
    training = Training(clock=clock, epochs=2, initialisation=3.0)
    training.in_wait = lambda _: clock.sleep("data_wait", 0.03)
    training.in_step = lambda step: clock.sleep("forward", 0.02 if step != 31 else 1.0)
    training.in_loop = lambda: clock.sleep("other", 0.5)
    begun = clock.mark()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # all work is in this thread
    try:
        recorded = training.run(tmp_path)
    finally:
        torch.set_num_threads(threads)
    ended = clock.mark()
    split = Timeline.of(recorded)
    close = 0.02 * split.total
    assert split.start == pytest.approx(begun - 3.0, abs=close)
    assert split.total == pytest.approx(ended - begun + 3.0, abs=close)
    assert split.initialisation >= 3.0
    trained = {"forward": split.forward, "data_wait": split.data_wait, "other": split.other}
    for kind, found in trained.items():
        assert found >= clock.waited[kind] - 0.001  # plus the time of the work itself
    assert split.data_wait == pytest.approx(clock.waited["data_wait"], abs=close)
    assert split.other == pytest.approx(clock.waited["other"], abs=close)
    assert split.outside == pytest.approx(
        clock.waited["data_wait"] + clock.waited["other"] + split.recording, abs=close
    )
    assert 100 * split.outside / split.loop > 30

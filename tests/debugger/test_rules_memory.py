"""MemoryIncrease compares samples of the same phase with the same processes."""

from collections.abc import Iterator

from debugger import rules
from debugger.records import EVALUATION, End, Phase, Record, Start, Step, System

EVERY = 0.5
GIB = float(1 << 30)


def passes(leak: float, *, seconds: float = 60, evaluates: bool = True) -> Iterator[Record]:
    """A job whose passes have more loading workers each time, 0.2 GiB each; it leaks GiB by hour.

    A pass is `seconds` of training with workers, then of evaluation without.
    """
    yield Start(0.0, "job", 1, 0.0, {})
    at, step = 0.0, 0
    for epoch in range(20):
        for phase, workers in (("train", 2 + epoch % 7), ("eval", 0))[: 1 + evaluates]:
            begin = at
            while at < begin + seconds:
                at += EVERY
                memory = (1 + 0.2 * workers + leak * at / 3600) * GIB
                values = {"process_memory": memory, "processes": float(1 + workers)}
                yield System(at - 0.1, values)
                if phase == "train":
                    yield Step(at, "train", step, epoch, at - EVERY, (), 8)
                    step += 1
            if phase == "eval":
                yield Phase(at, EVALUATION, begin, step)
    yield End(at, "completed")


def times(records: Iterator[Record]) -> int:
    (found,) = (
        item for item in rules.evaluate(records, rules.make({})) if item.rule == "MemoryIncrease"
    )
    return found.times


def test_workers_that_come_and_go_between_passes_are_no_growth() -> None:
    assert times(passes(leak=0.0)) == 0
    assert times(passes(leak=0.0, seconds=30, evaluates=False)) == 0


def test_a_leak_is_found_although_workers_come_and_go() -> None:
    assert times(passes(leak=2.0)) > 0

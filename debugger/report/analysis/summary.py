"""Computes all facts of a recording in one pass."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from debugger import rules
from debugger.records import Record
from debugger.report import facts
from debugger.report.analysis import advice, job, model, processor, steps, system
from debugger.report.analysis import time_split as spent
from debugger.report.analysis.gathering import Gathered, label
from debugger.report.analysis.trials import trials
from debugger.report.wording import NOT_IN_A_SWEEP, accuracy, clock, count, times
from debugger.rules.rule import Result

_DEVIATIONS = 3.0  # if the rule StepOutlier is switched off


def summarise(
    stream: Iterable[Record],
    settings: Mapping[str, Any],
    *,
    running: bool = False,
    cost: facts.Cost | None = None,
) -> tuple[facts.Report, Gathered]:
    """Return the facts, and the records that the charts need.

    Args:
        stream: the records of a recording, by time.
        settings: rule settings.
        running: the job still runs, so a missing End is not an abrupt end.
        cost: prices and billed time, if they are known.
    """
    gathered = Gathered()
    results = rules.evaluate(_gather(stream, gathered), rules.make(settings))
    return from_results(gathered, results, running=running, cost=cost), gathered


def from_results(
    gathered: Gathered, results: list[Result], *, running: bool, cost: facts.Cost | None = None
) -> facts.Report:
    """Return the facts of the gathered records and the rule results."""
    outlier = next((item for item in results if item.rule == "StepOutlier"), None)
    deviations = float((outlier.parameters if outlier else {}).get("stddev", _DEVIATIONS))
    about = job.job(gathered, running=running)
    tried = trials(gathered)
    if tried:
        about = job.of_winner(about, tried)
    time = spent.time(gathered)
    taken = steps.find(gathered, deviations)
    usage = system.usage(gathered)
    operators = system.operators(gathered)
    tips = advice.find(
        time, taken, usage, operators, about.about, used=processor.busy(gathered), cost=cost
    )
    swept = tried is not None
    found = sorted(
        (_rule(item, swept=swept) for item in results), key=lambda item: (-item.times, item.rule)
    )
    curves: dict[str, list[facts.Point]] = defaultdict(list)
    # The metrics of an epoch have its last step; their epoch counts from 1, as in CloudWatch.
    epochs = {step.step: step.epoch for step in gathered.of_main_process(gathered.steps)}
    for item in gathered.of_main_process(gathered.scalars):
        epoch = epochs.get(item.step, max(item.epoch - 1, 0))
        point = facts.Point(at=item.at, step=item.step, epoch=epoch, value=item.value)
        curves[item.name].append(point)
    names = model.class_names(about.about)
    report = facts.Report(
        headline="",
        job=about,
        time=time,
        advice=tips,
        rules=found,
        curves=dict(curves),
        best=_best(gathered),
        steps=taken,
        layers=model.layers(gathered),
        confusion=model.confusion(gathered.confusion, names),
        mistakes=model.mistakes(gathered, names),
        trials=tried,
        cost=cost,
        system=usage,
        operators=operators,
    )
    return report.model_copy(update={"headline": _headline(report)})


def _best(gathered: Gathered) -> facts.Best | None:
    found = gathered.best
    return facts.Best(epoch=found.epoch, values=dict(found.values)) if found else None


def _gather(stream: Iterable[Record], gathered: Gathered) -> Iterator[Record]:
    for record in stream:
        gathered.add(record)
        yield record


def _rule(result: Result, *, swept: bool) -> facts.Rule:
    details = _plain(result.details)
    if swept and result.status == "no data" and result.kind == "tensor":
        details = {"needs": NOT_IN_A_SWEEP}
    return facts.Rule(
        rule=result.rule,
        kind=result.kind,
        status=result.status,
        times=result.times,
        datapoints=result.datapoints,
        parameters=_plain(result.parameters),
        first=[
            facts.Firing(
                at=item.at,
                process=label(item.host, item.rank),
                step=item.step,
                text=item.text,
                evidence=_plain(item.evidence),
            )
            for item in result.first
        ],
        details=details,
        description=result.description,
        advice=result.advice,
        aws=_plain(result.to_aws()),
    )


def _plain(value: Any) -> Any:
    """Return a value as JSON types: rules of users can return numpy types."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return value if isinstance(value, str | int | float | None) else str(value)


def _headline(report: facts.Report) -> str:
    """Return the verdict in a few sentences."""
    sentences = [_ending(report.job)]
    if best := report.best_accuracy:
        which = f" (trial {report.trials.best})" if report.trials and report.trials.best else ""
        sentences.append(f"The best validation accuracy was {accuracy(best[1])}{which}.")
    judging, tips = report.judging, report.advice
    fired = [item for item in judging if item.status == "fired"]
    if fired:
        most = fired[0]
        sentences.append(
            f"{len(fired)} of the {count(len(judging), 'rule')} with data fired, most often "
            f"{most.rule} ({times(most.times)})."
        )
    elif judging:
        sentences.append(f"None of the {count(len(judging), 'rule')} with data fired.")
    if tips:
        sentences.append(
            f"What cost the most time: {tips[0].finding[0].lower()}{tips[0].finding[1:]}"
        )
    elif not fired:
        sentences.append("There is nothing to fix.")
    return " ".join(sentences)


def _ending(about: facts.Job) -> str:
    took = clock(about.seconds)
    step = "" if about.last_step is None else f" The last step was {about.last_step:,}."
    match about.status:
        case "completed":
            return f"The job completed in {took}."
        case "stopped":
            return f"The job was stopped after {took}{_because(about.reason)}."
        case "failed":
            return f"The job failed after {took}{_because(about.reason)}."
        case "running":
            return f"The job is still running ({took} so far)."
        case "ended abruptly":
            return f"The job ended abruptly: its last record came after {took}.{step}"
        case _:
            return f"The recording is {took} long. It does not say how the job ended."


def _because(reason: str) -> str:
    return f": {reason.strip().rstrip('.')}" if reason.strip() else ""

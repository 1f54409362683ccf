"""Facts about the trials of a sweep, from their records."""

from collections import defaultdict

from debugger.records import Trial
from debugger.report import facts
from debugger.report.analysis.gathering import Gathered


def trials(gathered: Gathered) -> facts.Trials | None:
    """Return the trials, best first; None if the job is no sweep."""
    found: dict[int, list[Trial]] = defaultdict(list)
    for record in gathered.of_main_process(gathered.trials):
        found[record.number].append(record)
    if not found:
        return None
    ranked = sorted(found.values(), key=_rank)
    best = next((own[-1].number for own in ranked if own[-1].status == "best"), None)
    return facts.Trials(
        objective=facts.OBJECTIVE,
        best=None if best is None else str(best),
        trials=[_trial(own) for own in ranked],
    )


def _rank(own: list[Trial]) -> tuple[bool, float, float, int]:
    """Sort the best first: by accuracy, then the lower loss, then the number; lost ones last."""
    end = _end(own)
    value = end.values.get(facts.OBJECTIVE)
    loss = end.values.get("validation:loss", 0.0)
    return end.status != "best", 1.0 if value is None else -value, loss, end.number


def _end(own: list[Trial]) -> Trial:
    """Return the record of the best epoch: the last one, or the best so far of a running trial."""
    if own[-1].status != "running":
        return own[-1]
    return max(own, key=lambda item: item.values.get(facts.OBJECTIVE, -1.0))


def _trial(own: list[Trial]) -> facts.Trial:
    end = _end(own)
    history: dict[str, list[facts.Point]] = defaultdict(list)
    for record in own:
        if record.status == "running":
            for name, value in record.values.items():
                history[name].append(
                    facts.Point(at=record.at, step=record.step, epoch=record.epoch - 1, value=value)
                )
    return facts.Trial(
        name=str(end.number),
        status=own[-1].status,
        hyperparameters=dict(end.hyperparameters),
        value=end.values.get(facts.OBJECTIVE),
        epoch=end.epoch or None,
        history=dict(history),
    )

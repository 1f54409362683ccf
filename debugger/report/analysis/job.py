"""Facts about the job: what ran, where and when, and how it ended."""

from typing import Any

from debugger.records import Start
from debugger.report import facts
from debugger.report.analysis.gathering import Gathered, label


def job(gathered: Gathered, *, running: bool) -> facts.Job:
    """Return the facts; while the job is `running`, a missing End is not an abrupt end."""
    starts = gathered.of_main_process(gathered.starts)
    attempts = _attempts(gathered, starts)
    steps = gathered.of_main_process(gathered.steps)
    first = starts[0] if starts else None
    # Files of smdebug do not say how a job ended.
    foreign = first is not None and "recorded_by" in first.facts
    status, reason = _status(attempts, running=running, unknown_end=foreign)
    return facts.Job(
        name=first.job if first else "",
        status=status,
        reason=reason,
        started=gathered.began,
        last_sign=gathered.last_sign,
        seconds=gathered.last_sign - gathered.began,
        last_step=max((item.step for item in steps), default=None),
        epochs=len({item.epoch for item in steps}),
        world=first.world if first else len(gathered.processes),
        processes=[label(*item) for item in gathered.processes],
        attempts=attempts,
        about=_about(first),
        notes=list(dict.fromkeys(item.text for item in gathered.notes)),
    )


def of_winner(about: facts.Job, tried: facts.Trials) -> facts.Job:
    """Return the facts of a sweep with the hyperparameters of its best trial, once it is known."""
    won = next((item for item in tried.trials if item.name == tried.best), None)
    if won is None:
        return about
    known = dict(about.about.get("hyperparameters") or {}) | won.hyperparameters
    changed = about.about | {"hyperparameters": known}
    if "batch_size" in won.hyperparameters:
        changed["batch_size"] = won.hyperparameters["batch_size"]
    return about.model_copy(update={"about": changed | {"best trial": tried.best}})


def _attempts(gathered: Gathered, starts: list[Start]) -> list[facts.Attempt]:
    found = []
    ends = gathered.of_main_process(gathered.ends)
    steps = gathered.of_main_process(gathered.steps)
    phases = gathered.of_main_process(gathered.phases)
    for index, start in enumerate(starts):
        until = starts[index + 1].at if index + 1 < len(starts) else float("inf")
        inside = [item for item in steps if start.at <= item.at < until]
        end = next((item for item in ends if start.at <= item.at < until), None)
        signs = [item.at for item in (*inside, *phases) if start.at <= item.at < until]
        last = gathered.last_sign if until == float("inf") else max([start.at, *signs])
        found.append(
            facts.Attempt(
                started=start.process_started,
                last_sign=end.at if end else last,
                first_step=inside[0].step if inside else None,
                last_step=inside[-1].step if inside else None,
                status=end.status if end else None,
                reason=end.reason if end else "",
            )
        )
    return found


def _status(
    attempts: list[facts.Attempt], *, running: bool, unknown_end: bool
) -> tuple[facts.Status, str]:
    if not attempts:
        return ("running" if running else "unknown"), ""
    last = attempts[-1]
    if last.status is None:
        return ("running" if running else "unknown" if unknown_end else "ended abruptly"), ""
    return last.status, last.reason


def _about(start: Start | None) -> dict[str, Any]:
    """Return the facts of the first start, without the layers: the tensors have those names."""
    if start is None:
        return {}
    return {name: value for name, value in start.facts.items() if name != "layers"}

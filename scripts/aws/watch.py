"""Follows a job from start to end: its states with times, its log, and how it ended.

Ctrl-C stops the watching and not the job; the command to watch again is printed.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import typer

from scripts.aws import logs, prices, trials
from scripts.aws.client import Aws
from scripts.console import progress, terminal
from scripts.console.hints import hint
from scripts.requests import jobs

# Seconds between two polls.
POLL_S = 2.0


@contextmanager
def detachable(job: str) -> Iterator[None]:
    """On Ctrl-C, print how to watch again and exit; the job keeps running."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.note(f"\ndetached; {job} keeps running")
        terminal.note(f"  watch it again: kennel logs {job} --follow")
        terminal.note(f"  stop it:        kennel stop {job}")
        raise typer.Exit(130) from None


def training_job(aws: Aws, job: str) -> dict[str, Any]:
    """Follow a training job to its end.

    Returns:
        The last description. The reason of a failure has been printed.
    """
    log = logs.Log(aws, logs.TRAINING, f"{job}/")
    states = _StatusPrinter()
    with detachable(job):
        while True:
            about = aws.send(jobs.describe(jobs.TRAINING, job))
            states.print_new(about.get("SecondaryStatusTransitions", []))
            ended = about["TrainingJobStatus"] in jobs.ENDED
            several = about["ResourceConfig"]["InstanceCount"] > 1
            for line in log.new_lines():
                terminal.result(f"{line.host} | {line.text}" if several else line.text)
            if ended:
                break
            time.sleep(POLL_S)
    report_end(about, log.last)
    return about


def report_end(about: dict[str, Any], last_lines: Collection[str] = ()) -> None:
    """Print how a training job ended: bundle and cost, or the reason with a hint."""
    status = about["TrainingJobStatus"]
    if status in jobs.ENDED:
        terminal.note(f"{about['TrainingJobName']}: {status.lower()}")
        terminal.note(prices.after_training(about))
    artifacts = about.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if artifacts and status in ("Completed", "Stopped"):  # others name where it would be
        terminal.note(f"bundle: {artifacts}")
    if status == "Failed":
        report_failure(about.get("FailureReason", "no reason given"), last_lines)


def report_failure(reason: str, last_lines: Collection[str] = ()) -> None:
    """Print the reason, the last log lines and what to do."""
    terminal.note(f"reason: {reason}")
    text = "\n".join(last_lines)
    if text:
        terminal.note(f"the last {len(last_lines)} lines of the log:")
        terminal.note("\n".join(f"  {line}" for line in last_lines))
    if advice := hint(reason, text):
        terminal.note(f"hint: {advice}")


def tuning_job(aws: Aws, job: str, total: int | None = None) -> dict[str, Any]:
    """Follow a tuning job to its end; print a line whenever a trial changes.

    Args:
        aws: clients.
        job: the tuning job's name.
        total: the number of trials, if it is known.

    Returns:
        The last description.
    """
    printed: dict[str, str] = {}
    started = time.monotonic()
    with detachable(job), progress.waiting() as wait:
        while True:
            about = aws.send(jobs.describe(jobs.TUNING, job))
            tried = trials.fetch(aws, job)
            for one in tried:
                if printed.get(one.job) != one.status:
                    printed[one.job] = one.status
                    terminal.note(_trial(one))
            if about["HyperParameterTuningJobStatus"] in jobs.ENDED:
                break
            wait(_counted(about, tried, total, time.monotonic() - started))
            time.sleep(POLL_S)
    terminal.note(f"{job}: {about['HyperParameterTuningJobStatus'].lower()}")
    if about["HyperParameterTuningJobStatus"] == "Failed":
        report_failure(about.get("FailureReason", "no reason given"))
    return about


def _counted(
    about: dict[str, Any], tried: list[trials.Trial], total: int | None, seconds: float
) -> str:
    """Trials done and running, the best value so far, and the time left."""
    done = sum(one.status in jobs.ENDED for one in tried)
    of = f" of {total}" if total else ""
    text = f"{done}{of} trials done, {len(tried) - done} running"
    values = [one.value for one in tried if one.value is not None]
    objective = about["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {})
    if values:
        best = min(values) if objective.get("Type") == "Minimize" else max(values)
        text += f", best {best:.4f}"
    if total and done:
        text += f", about {seconds / done * (total - done) / 60:.0f} min left"
    return text


def wait_until(
    describe: Callable[[], dict[str, Any]], key: str, ended: tuple[str, ...]
) -> dict[str, Any]:
    """Poll until the state at `key` is one of `ended`; print each new state with its time."""
    state, since = "", time.monotonic()
    with progress.waiting() as wait:
        while True:
            about = describe()
            if about[key] != state:
                state = about[key]
                terminal.note(f"{time.monotonic() - since:5.0f} s  {state}")
            if state in ended:
                return about
            wait(state)
            time.sleep(POLL_S)


def _trial(one: trials.Trial) -> str:
    tried = " ".join(f"{name}={value}" for name, value in one.hyperparameters.items())
    value = "" if one.value is None else f"  {one.value:.4f}"
    return f"{one.job}  {one.status}{value}  {tried}" + (f"  {one.reason}" if one.reason else "")


class _StatusPrinter:
    """Prints each secondary status once, and how long the previous one took."""

    def __init__(self) -> None:
        self._printed = 0

    def print_new(self, transitions: list[dict[str, Any]]) -> None:
        for number, one in enumerate(transitions):
            if number < self._printed:
                continue
            before = transitions[number - 1] if number else None
            took = f"  ({before['Status']} took {_seconds(before)})" if before else ""
            message = one.get("StatusMessage") or ""
            started: datetime = one["StartTime"]
            clock = started.astimezone().strftime("%H:%M:%S")
            terminal.note(f"{clock} {one['Status']}: {message}{took}")
        self._printed = max(self._printed, len(transitions))


def _seconds(transition: dict[str, Any]) -> str:
    if "EndTime" not in transition:
        return "an unknown time"
    return f"{(transition['EndTime'] - transition['StartTime']).total_seconds():.0f} s"

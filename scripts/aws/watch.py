"""Following a job from its start to its end: states with their times, the log, and the verdict.

Ctrl-C only ends the watching; the job goes on, and the way back is printed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import typer

from scripts.aws import logs, prices, trials
from scripts.aws.client import Aws
from scripts.console import shown
from scripts.console.hints import hint
from scripts.requests import running

# Seconds between two looks.
EVERY = 2.0
_OVER = ("Completed", "Failed", "Stopped")


@contextmanager
def detachable(job: str) -> Iterator[None]:
    """Let Ctrl-C end the watching with a line on how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        shown.say(f"\ndetached; {job} goes on")
        shown.say(f"  watch it again: kennel logs {job} --follow")
        shown.say(f"  end it:         kennel stop {job}")
        raise typer.Exit(130) from None


def training_job(aws: Aws, job: str) -> dict[str, Any]:
    """Follow a training job to its end.

    Returns:
        its last description; what it says of a failure has been printed.
    """
    log = logs.Log(aws, logs.TRAINING, f"{job}/")
    states = _States()
    with detachable(job):
        while True:
            about = aws.send(running.training_job(job))
            states.show(about.get("SecondaryStatusTransitions", []))
            over = about["TrainingJobStatus"] in _OVER
            several = about["ResourceConfig"]["InstanceCount"] > 1
            for line in log.new():
                shown.tell(f"{line.host} | {line.text}" if several else line.text)
            if over:
                break
            time.sleep(EVERY)
    verdict(about, log.last)
    return about


def verdict(about: dict[str, Any], last: Any = ()) -> None:
    """Say how a training job ended: artifacts, cost, or the reason with a hint."""
    status = about["TrainingJobStatus"]
    if status in _OVER:
        shown.say(f"{about['TrainingJobName']}: {status.lower()}")
        shown.say(prices.after_training(about))
    if artifacts := about.get("ModelArtifacts", {}).get("S3ModelArtifacts"):
        shown.say(f"bundle: {artifacts}")
    if status == "Failed":
        failed(about.get("FailureReason", "no reason given"), last)


def failed(reason: str, last: Any = ()) -> None:
    """Print a reason, the last log lines and what to do."""
    shown.say(f"reason: {reason}")
    text = "\n".join(last)
    if text:
        shown.say(f"the last {len(last)} lines of its log:")
        shown.say("\n".join(f"  {line}" for line in last))
    if advice := hint(reason, text):
        shown.say(f"hint: {advice}")


def tuning_job(aws: Aws, job: str) -> dict[str, Any]:
    """Follow a tuning job to its end, one line for each trial that changes.

    Returns:
        its last description.
    """
    seen: dict[str, str] = {}
    with detachable(job):
        while True:
            about = aws.send(running.tuning_job(job))
            for one in trials.fetch(aws, job):
                if seen.get(one.job) != one.status:
                    seen[one.job] = one.status
                    shown.say(_trial(one))
            if about["HyperParameterTuningJobStatus"] in _OVER:
                break
            time.sleep(EVERY)
    shown.say(f"{job}: {about['HyperParameterTuningJobStatus'].lower()}")
    if about["HyperParameterTuningJobStatus"] == "Failed":
        failed(about.get("FailureReason", "no reason given"))
    return about


def until(
    describe: Callable[[], dict[str, Any]], key: str, over: tuple[str, ...]
) -> dict[str, Any]:
    """Look again and again until `key` is one of `over`, saying each new state with its time."""
    state, since = "", time.monotonic()
    while True:
        about = describe()
        if about[key] != state:
            state = about[key]
            shown.say(f"{time.monotonic() - since:5.0f} s  {state}")
        if state in over:
            return about
        time.sleep(EVERY)


def _trial(one: trials.Trial) -> str:
    tried = " ".join(f"{name}={value}" for name, value in one.hyperparameters.items())
    value = "" if one.value is None else f"  {one.value:.4f}"
    return f"{one.job}  {one.status}{value}  {tried}" + (f"  {one.reason}" if one.reason else "")


class _States:
    """Prints each secondary status once, and how long the one before it took."""

    def __init__(self) -> None:
        self._shown = 0

    def show(self, transitions: list[dict[str, Any]]) -> None:
        for place, one in enumerate(transitions):
            if place < self._shown:
                continue
            before = transitions[place - 1] if place else None
            took = f"  ({before['Status']} took {_seconds(before)})" if before else ""
            message = one.get("StatusMessage") or ""
            started: datetime = one["StartTime"]
            clock = started.astimezone().strftime("%H:%M:%S")
            shown.say(f"{clock} {one['Status']}: {message}{took}")
        self._shown = max(self._shown, len(transitions))


def _seconds(transition: dict[str, Any]) -> str:
    if "EndTime" not in transition:
        return "an unknown time"
    return f"{(transition['EndTime'] - transition['StartTime']).total_seconds():.0f} s"

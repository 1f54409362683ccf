"""What the list of jobs says about each: state, start, time, cost, best metric."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from scripts.aws import listing, prices, trials
from scripts.aws.client import Aws, AwsProblem
from scripts.requests import jobs
from train.metrics import OBJECTIVE

_KINDS = {label: kind for kind, label in jobs.LABELS.items()}
_THREADS = 8
# Ended jobs never change: their summaries are kept, the newest of them.
_KEPT = 4_000


@dataclass(frozen=True)
class Summary:
    """One job; what is not known is None."""

    job: str
    kind: str
    status: str
    created: datetime
    started: datetime | None = None
    seconds: float | None = None
    dollars: float | None = None
    metric: str = ""
    value: float | None = None
    sweep: bool = False


class Summaries:
    """Asks AWS about the jobs of one page at a time, and about ended ones once."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._ended: dict[tuple[str, str, datetime], Summary] = {}

    def page(
        self,
        number: int,
        size: int,
        contains: str | None = None,
        status: str | None = None,
        kinds: Sequence[str] = (),
    ) -> tuple[list[Summary], bool]:
        """Return the jobs of a page, newest first, and whether there are more.

        Args:
            number: of the page, from 0.
            size: jobs on a page.
            contains: only names that contain this text.
            status: only jobs in this state.
            kinds: training, tuning or transform; none: all.
        """
        first = number * size
        wanted = tuple(_KINDS[one] for one in kinds) or jobs.KINDS
        listed = listing.newest(self._aws, contains, status, wanted, page=first + size + 1)
        found = list(islice(listed, first, first + size + 1))
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self._summary, found[:size])), len(found) > size

    def _summary(self, one: dict[str, Any]) -> Summary:
        key = (one["kind"], one["job"], one["created"])
        if known := self._ended.get(key):
            return known
        try:
            found = _summary(self._aws, one)
        except AwsProblem as problem:
            if not problem.missing:
                raise
            found = Summary(one["job"], one["kind"], one["status"], one["created"])
        if found.status in jobs.ENDED:
            self._ended[key] = found
            while len(self._ended) > _KEPT:
                self._ended.pop(next(iter(self._ended)), None)
        return found


def _summary(aws: Aws, one: dict[str, Any]) -> Summary:
    kind = _KINDS[one["kind"]]
    about = aws.send(jobs.describe(kind, one["job"]))
    if kind == jobs.TRAINING:
        return of_training(about)
    more = _of_tuning(aws, about) if kind == jobs.TUNING else _of_transform(about)
    return Summary(one["job"], one["kind"], about[f"{kind}Status"], one["created"], **more)


def of_training(about: Mapping[str, Any]) -> Summary:
    """The summary of a training job from DescribeTrainingJob."""
    now = datetime.now(UTC)
    started = about.get("TrainingStartTime")
    metrics = {one["MetricName"]: one["Value"] for one in about.get("FinalMetricDataList") or ()}
    metric = OBJECTIVE.name if OBJECTIVE.name in metrics else next(iter(metrics), "")
    return Summary(
        job=about["TrainingJobName"],
        kind=jobs.LABELS[jobs.TRAINING],
        status=about["TrainingJobStatus"],
        created=about["CreationTime"],
        started=started,
        seconds=_seconds(started, about.get("TrainingEndTime"), now),
        dollars=prices.of_training(dict(about), now),
        metric=metric,
        value=metrics.get(metric),
        sweep=bool((about.get("HyperParameters") or {}).get("sweep")),
    )


def _of_tuning(aws: Aws, about: dict[str, Any]) -> dict[str, Any]:
    best = about.get("BestTrainingJob") or {}
    metric = best.get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    tried = trials.fetch(aws, about["HyperParameterTuningJobName"])
    resources = (about.get("TrainingJobDefinition") or {}).get("ResourceConfig") or {}
    seconds = sum(one.seconds or 0 for one in tried)
    dollars = None
    if "InstanceType" in resources:
        count = resources.get("InstanceCount", 1)
        dollars = prices.cost(resources["InstanceType"], count, seconds)
    started, ended = about["CreationTime"], about.get("HyperParameterTuningEndTime")
    return {
        "started": started,
        "seconds": _seconds(started, ended, datetime.now(UTC)),
        "dollars": dollars,
        "metric": metric.get("MetricName", ""),
        "value": metric.get("Value"),
    }


def _of_transform(about: dict[str, Any]) -> dict[str, Any]:
    resources = about["TransformResources"]
    started, ended = about.get("TransformStartTime"), about.get("TransformEndTime")
    seconds = _seconds(started, ended, datetime.now(UTC))
    kind, count = resources["InstanceType"], resources["InstanceCount"]
    dollars = None if seconds is None else prices.cost(kind, count, seconds)
    return {"started": started, "seconds": seconds, "dollars": dollars}


def _seconds(started: datetime | None, ended: datetime | None, now: datetime) -> float | None:
    return ((ended or now) - started).total_seconds() if started else None

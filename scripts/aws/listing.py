"""Finds jobs: one by its name, or training, tuning and transform jobs together, newest first."""

import heapq
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from scripts.aws.client import Aws, AwsProblem
from scripts.problem import Problem
from scripts.requests import jobs
from scripts.requests.request import Request

# Where the summaries of the three kinds have the time of the end.
_ENDED = ("TrainingEndTime", "HyperParameterTuningEndTime", "TransformEndTime")
# The most entries that AWS puts on a page. Source: ListTrainingJobs and its like, MaxResults.
LARGEST_PAGE = 100


def find(aws: Aws, name: str) -> tuple[jobs.Kind, dict[str, Any]]:
    """Return the kind of the job called `name`, and its description.

    Raises:
        Problem: no job has this name.
    """
    missing = None
    for kind in jobs.KINDS:
        try:
            return kind, aws.send(jobs.describe(kind, name))
        except AwsProblem as problem:
            if not problem.missing:
                raise
            missing = problem
    text = f"no job is called {name} in {aws.region}: `kennel jobs` lists them"
    raise Problem(text) from missing


def newest(
    aws: Aws,
    contains: str | None = None,
    status: str | None = None,
    kinds: tuple[jobs.Kind, ...] = jobs.KINDS,
    page: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield jobs of all kinds, newest first; asks AWS for no more pages than are read.

    Args:
        aws: clients.
        contains: only names that contain this text.
        status: only jobs in this state.
        kinds: only these.
        page: how many jobs a call returns; None: what AWS returns by itself.
    """
    listed = (_listed(aws, kind, contains, status, page) for kind in kinds)
    return heapq.merge(*listed, key=_created, reverse=True)


def _created(one: dict[str, Any]) -> datetime:
    created: datetime = one["created"]
    return created


def _listed(
    aws: Aws, kind: jobs.Kind, contains: str | None, status: str | None, page: int | None
) -> Iterator[dict[str, Any]]:
    request = jobs.list_jobs(kind, contains, status)
    if page:
        size = {"MaxResults": min(page, LARGEST_PAGE)}
        request = Request(request.service, request.operation, request.parameters | size)
    for one in aws.pages(request, f"{kind}Summaries"):
        ended = next((one[key] for key in _ENDED if one.get(key)), None)
        yield {
            "job": one[f"{kind}Name"],
            "kind": jobs.LABELS[kind],
            "status": one[f"{kind}Status"],
            "created": one["CreationTime"],
            "seconds": (ended - one["CreationTime"]).total_seconds() if ended else None,
        }

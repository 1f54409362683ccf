"""Putting a model behind an endpoint, and taking one down: in order, and rolled back on failure."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scripts.aws import logs, watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import shown
from scripts.problem import Problem
from scripts.requests import endpoints, hosting
from scripts.requests.request import Request
from scripts.requests.running import transform_job as described_transform
from scripts.spec import Experiment
from scripts.spec.endpoint import Transform

_SETTLED = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")


@dataclass(frozen=True)
class Deployment:
    """What is to be made. `resource` names model and config, and a transform job."""

    experiment: Experiment
    endpoint: str
    resource: str
    image: str
    data: str | None
    now: datetime

    @property
    def is_transform(self) -> bool:
        """Whether it is a batch job, and no endpoint."""
        return isinstance(self.experiment.endpoint, Transform)

    def requests(self) -> list[Request]:
        """Every call that makes it, in order."""
        first = hosting.model(self.experiment, self.resource, self.image, self.data)
        if self.is_transform:
            job = hosting.transform_job(self.experiment, self.resource, self.resource)
            return [first, job]
        return [
            first,
            hosting.endpoint_config(self.experiment, self.resource, self.resource),
            hosting.endpoint(self.experiment, self.endpoint, self.resource, self.now),
            *hosting.autoscaling(self.experiment, self.endpoint),
        ]


def deploy(aws: Aws, plan: Deployment) -> None:
    """Make the endpoint and wait until it answers; one of that name gets the new model instead.

    Raises:
        Problem: it failed; the reason was printed, and what was made is gone again.
    """
    before = _found(aws, plan.endpoint)
    model, config, create, *scaling = plan.requests()
    with _rolled_back(aws) as made:
        aws.send(model)
        made.append(endpoints.deleted_model(plan.resource))
        aws.send(config)
        made.append(endpoints.deleted_config(plan.resource))
        if before:
            shown.say(f"{plan.endpoint} is there: it goes on answering while it changes over")
            aws.send(endpoints.updated(plan.endpoint, plan.resource))
        else:
            aws.send(create)
            made.append(endpoints.deleted(plan.endpoint))
        with _left_running(plan.endpoint):
            about = watch.until(
                lambda: aws.send(endpoints.described(plan.endpoint)), "EndpointStatus", _SETTLED
            )
        if about["EndpointStatus"] != "InService" or about["EndpointConfigName"] != plan.resource:
            _explain(aws, plan.endpoint, about)
            raise Problem(f"{plan.endpoint} could not be deployed")
        for request in scaling:
            aws.send(request)
    if before:
        _delete_config(aws, before["EndpointConfigName"])


def transform(aws: Aws, plan: Deployment) -> None:
    """Run the batch job to its end; its model goes with it.

    Raises:
        Problem: it failed; the reason was printed.
    """
    model, job = plan.requests()
    aws.send(model)
    try:
        aws.send(job)
        with watch.detachable(plan.resource):
            about = watch.until(
                lambda: aws.send(described_transform(plan.resource)),
                "TransformJobStatus",
                ("Completed", "Failed", "Stopped"),
            )
    finally:
        aws.send(endpoints.deleted_model(plan.resource))
    if about["TransformJobStatus"] == "Failed":
        log = logs.Log(aws, logs.TRANSFORM, f"{plan.resource}/")
        _read(log)
        watch.failed(about.get("FailureReason", "no reason given"), log.last)
        raise Problem(f"{plan.resource} failed")


def take_down(aws: Aws, name: str) -> None:
    """Delete an endpoint, then its config, then its models, saying each.

    Raises:
        AwsProblem: there is no such endpoint.
    """
    about = aws.send(endpoints.described(name))
    try:
        aws.send(endpoints.unscaled(name))
    except AwsProblem as problem:
        # Most endpoints have none.
        if not (problem.missing or "no scalable target found" in str(problem).lower()):
            raise
    aws.send(endpoints.deleted(name))
    # A config in use could be deleted, but would leave an endpoint that cannot be mended.
    while _found(aws, name):
        time.sleep(watch.EVERY)
    shown.say(f"deleted endpoint {name}")
    _delete_config(aws, about["EndpointConfigName"])


def _delete_config(aws: Aws, name: str) -> None:
    try:
        config = aws.send(endpoints.described_config(name))
    except AwsProblem as problem:
        if problem.missing:
            return
        raise
    aws.send(endpoints.deleted_config(name))
    shown.say(f"deleted endpoint config {name}")
    for variant in config["ProductionVariants"]:
        aws.send(endpoints.deleted_model(variant["ModelName"]))
        shown.say(f"deleted model {variant['ModelName']}")


def _found(aws: Aws, name: str) -> dict[str, Any] | None:
    try:
        return aws.send(endpoints.described(name))
    except AwsProblem as problem:
        if problem.missing:
            return None
        raise


@contextmanager
def _rolled_back(aws: Aws) -> Iterator[list[Request]]:
    """Collect the calls that undo; on an error make them, newest first."""
    made: list[Request] = []
    try:
        yield made
    except Exception:
        for undo in reversed(made):
            try:
                aws.send(undo)
            except AwsProblem as problem:
                shown.say(f"could not be undone: {problem}")
            else:
                shown.say(f"rolled back: {undo.operation} {next(iter(undo.parameters.values()))}")
        raise


@contextmanager
def _left_running(name: str) -> Iterator[None]:
    """Ctrl-C ends the waiting alone: the endpoint is made, and costs."""
    try:
        yield
    except KeyboardInterrupt:
        shown.say(f"\n{name} goes on being made, and costs until `kennel down {name}`")
        shown.say("autoscaling, if the experiment has it, is not set: deploy again to set it")
        raise


def _explain(aws: Aws, name: str, about: dict[str, Any]) -> None:
    log = logs.Log(aws, f"{logs.ENDPOINTS}/{name}", "")
    _read(log)
    watch.failed(about.get("FailureReason", "the old model is still in service"), log.last)


def _read(log: logs.Log) -> None:
    for _line in log.new():
        pass

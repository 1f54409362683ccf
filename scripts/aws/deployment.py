"""Creates and deletes endpoints: in order, and rolled back on failure."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from pictures.layouts.litter import lies_in_litter
from scripts.aws import logs, watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import names, progress, terminal
from scripts.problem import Problem
from scripts.requests import endpoints, hosting, jobs, objects, schedules
from scripts.requests.request import Request
from scripts.spec import Experiment
from scripts.spec.endpoint import Transform
from scripts.stack import template

_SETTLED = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")
_DELETING = "Deleting"


@dataclass(frozen=True)
class Deployment:
    """What to create. `resource` is the name of the model, the config, and a transform job."""

    experiment: Experiment
    endpoint: str
    resource: str
    image: str
    data: str | None
    now: datetime

    @property
    def is_transform(self) -> bool:
        """Whether it is a batch job instead of an endpoint."""
        return isinstance(self.experiment.endpoint, Transform)

    def requests(self) -> list[Request]:
        """All requests that create it, in order."""
        first = hosting.model(self.experiment, self.resource, self.image, self.data)
        if self.is_transform:
            job = hosting.transform_job(self.experiment, self.resource, self.resource)
            return [first, job]
        return [
            first,
            hosting.endpoint_config(self.experiment, self.resource, self.resource),
            hosting.endpoint(self.experiment, self.endpoint, self.resource, self.now),
            *hosting.autoscaling(self.experiment, self.endpoint),
            *self.schedule(schedules.create),
        ]

    def schedule(self, request: Callable[..., Request]) -> list[Request]:
        """The request that sets the endpoint's end; none without ttl_hours."""
        end = hosting.ends(self.experiment, self.now)
        if end is None:
            return []
        return [request(self.endpoint, template.scheduler_role_arn(self.experiment), end)]


def deploy(aws: Aws, plan: Deployment) -> None:
    """Create the endpoint, or update an existing one, and wait until it is in service.

    Raises:
        Problem: it failed. The reason was printed and everything new was deleted.
    """
    before = _found(aws, plan.endpoint)
    if before and before["EndpointStatus"] == "Failed":
        terminal.note(
            f"{plan.endpoint} failed before ({before.get('FailureReason', 'no reason given')}); "
            "SageMaker can only delete such an endpoint, so it is made anew"
        )
        delete(aws, plan.endpoint)
        before = None
    model, config, create = plan.requests()[:3]
    with _rolled_back(aws) as undo:
        aws.send(model)
        undo.append(endpoints.delete_model(plan.resource))
        aws.send(config)
        undo.append(endpoints.delete_config(plan.resource))
        if before:
            terminal.note(f"{plan.endpoint} exists: it keeps answering during the update")
            aws.send(endpoints.update(plan.endpoint, plan.resource))
        else:
            aws.send(create)
            undo.append(endpoints.delete(plan.endpoint))
        with _warn_on_interrupt(plan.endpoint):
            about = watch.wait_until(
                lambda: aws.send(endpoints.describe(plan.endpoint)), "EndpointStatus", _SETTLED
            )
        if about["EndpointStatus"] != "InService" or about["EndpointConfigName"] != plan.resource:
            _report_failure(aws, plan.endpoint, about)
            raise Problem(f"{plan.endpoint} could not be deployed")
        for request in hosting.autoscaling(plan.experiment, plan.endpoint):
            aws.send(request)
    _set_end(aws, plan, about["EndpointArn"])
    if before:
        _delete_config(aws, before["EndpointConfigName"])


def _set_end(aws: Aws, plan: Deployment, arn: str) -> None:
    """Schedule the endpoint's deletion. Without a schedule it runs on, and the user is warned."""
    end = hosting.ends(plan.experiment, plan.now)
    if end is None:
        return
    aws.send(endpoints.tag(arn, hosting.EXPIRES, end.isoformat(timespec="seconds")))
    when = terminal.local_time(end)
    try:
        try:
            aws.send(*plan.schedule(schedules.create))
        except AwsProblem as problem:
            if not problem.already_exists:
                raise
            aws.send(*plan.schedule(schedules.update))
    except AwsProblem as problem:
        terminal.note(
            f"{plan.endpoint} does not end by itself at {when}: {problem}\n"
            f"`kennel setup` creates the role for it; or run `kennel down {plan.endpoint}`"
        )
    else:
        terminal.note(f"{plan.endpoint} ends by itself at {when}")


def transform(aws: Aws, plan: Deployment) -> None:
    """Run the batch job to its end, then delete its model.

    Raises:
        Problem: it failed. The reason was printed.
    """
    model, job = plan.requests()
    assert isinstance(plan.experiment.endpoint, Transform)
    _name_litter(aws, plan.experiment.endpoint.input)
    aws.send(model)
    try:
        aws.send(job)
        with watch.detachable(plan.resource):
            about = watch.wait_until(
                lambda: aws.send(jobs.describe(jobs.TRANSFORM, plan.resource)),
                "TransformJobStatus",
                jobs.ENDED,
            )
    finally:
        aws.send(endpoints.delete_model(plan.resource))
    if about["TransformJobStatus"] == "Failed":
        last_lines = logs.Log(aws, logs.TRANSFORM, f"{plan.resource}/").read_to_end()
        watch.report_failure(about.get("FailureReason", "no reason given"), last_lines)
        raise Problem(f"{plan.resource} failed")


def _name_litter(aws: Aws, source: str) -> None:
    """Say which objects of a transform's input are no pictures: SageMaker sends every object."""
    bucket, prefix = names.bucket_and_key(objects.prefix(source))
    try:
        keys = [one["Key"].removeprefix(prefix) for one in aws.objects(bucket, prefix)]
    except AwsProblem as problem:
        terminal.note(f"cannot list {source}: {problem}")
        return
    litter = [key for key in keys if lies_in_litter(PurePosixPath(key))]
    if litter:
        shown = ", ".join(litter[:5]) + (", …" if len(litter) > 5 else "")
        terminal.note(
            f"{len(litter)} of {len(keys)} objects below {source} are not pictures ({shown}): "
            "SageMaker sends them too, and their answers say what they are"
        )


def delete(aws: Aws, name: str) -> None:
    """Delete an endpoint, then its config, then its models, and print each step.

    SageMaker refuses to delete one that is being created or updated: wait until it is not.

    Raises:
        AwsProblem: the endpoint does not exist.
    """
    about = aws.send(endpoints.describe(name))
    if about["EndpointStatus"] not in (*_SETTLED, _DELETING):
        terminal.note(f"{name} is {about['EndpointStatus']}: SageMaker deletes it only after that")
        about = watch.wait_until(
            lambda: aws.send(endpoints.describe(name)), "EndpointStatus", (*_SETTLED, _DELETING)
        )
    try:
        aws.send(endpoints.deregister_scaling(name))
    except AwsProblem as problem:
        # Most endpoints do not scale.
        if not (problem.missing or "no scalable target found" in str(problem).lower()):
            raise
    if about["EndpointStatus"] != _DELETING:
        aws.send(endpoints.delete(name))
    _delete_schedule(aws, name)
    # AWS would delete a config in use, but the endpoint could then never be updated.
    with progress.working(f"deleting the endpoint {name}"):
        while _found(aws, name):
            time.sleep(watch.POLL_S)
    terminal.note(f"deleted endpoint {name}")
    _delete_config(aws, about["EndpointConfigName"])


def _delete_schedule(aws: Aws, name: str) -> None:
    try:
        aws.send(schedules.delete(name))
    except AwsProblem as problem:
        # Most endpoints have none. One that fires later finds no endpoint and does no harm.
        if not (problem.missing or problem.forbidden):
            raise


def _delete_config(aws: Aws, name: str) -> None:
    try:
        config = aws.send(endpoints.describe_config(name))
    except AwsProblem as problem:
        if problem.missing:
            return
        raise
    aws.send(endpoints.delete_config(name))
    terminal.note(f"deleted endpoint config {name}")
    for variant in config["ProductionVariants"]:
        aws.send(endpoints.delete_model(variant["ModelName"]))
        terminal.note(f"deleted model {variant['ModelName']}")


def _found(aws: Aws, name: str) -> dict[str, Any] | None:
    try:
        return aws.send(endpoints.describe(name))
    except AwsProblem as problem:
        if problem.missing:
            return None
        raise


@contextmanager
def _rolled_back(aws: Aws) -> Iterator[list[Request]]:
    """Collect the requests that undo what was done; on an error send them, newest first."""
    undo: list[Request] = []
    try:
        yield undo
    except Exception:
        for request in reversed(undo):
            try:
                aws.send(request)
            except AwsProblem as problem:
                terminal.note(f"could not roll back: {problem}")
                if request.operation == "DeleteEndpoint":  # it needs its config and its model
                    terminal.note("`kennel endpoints` lists it, `kennel down` deletes all three")
                    break
            else:
                name = next(iter(request.parameters.values()))
                terminal.note(f"rolled back: {request.operation} {name}")
        raise


@contextmanager
def _warn_on_interrupt(name: str) -> Iterator[None]:
    """Warn on Ctrl-C: it stops the waiting, but AWS still creates the endpoint."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.note(f"\nAWS still creates {name}, and it costs until `kennel down {name}`")
        terminal.note("if the experiment has autoscaling, deploy again to set it")
        raise


def _report_failure(aws: Aws, name: str, about: dict[str, Any]) -> None:
    last_lines = logs.Log(aws, f"{logs.ENDPOINTS}/{name}", "").read_to_end()
    reason = about.get("FailureReason", "the old model is still in service")
    watch.report_failure(reason, last_lines)

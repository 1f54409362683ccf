"""Creates, updates and deletes the stack of an experiment, and says why it failed."""

import time
from collections.abc import Iterable

from scripts.aws import watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import progress, terminal
from scripts.problem import Problem
from scripts.requests import account, registry, stacks
from scripts.requests.request import Request
from scripts.stack.template import Planned

# What a stack ends in. Source: CloudFormation's stack status codes.
_GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_SETTLED = (
    *_GOOD,
    *("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"),
    *("UPDATE_FAILED", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"),
)
_GONE = "DELETE_COMPLETE"
# A stack that never worked: it can only be deleted.
_BROKEN = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
_BUCKET, _REPOSITORY = "AWS::S3::Bucket", "AWS::ECR::Repository"


def state(aws: Aws, name: str) -> str | None:
    """Return the stack's status; None if there is no such stack."""
    try:
        found = aws.send(stacks.describe(name))["Stacks"]
    except AwsProblem as problem:
        if problem.missing:
            return None
        raise
    status = str(found[0]["StackStatus"])
    return None if status == _GONE else status


def own(aws: Aws, name: str) -> dict[str, tuple[str, str]]:
    """Return type and physical name of the stack's resources, by logical name."""
    found = {}
    for one in aws.pages(stacks.resources(name), "StackResourceSummaries"):
        if not one["ResourceStatus"].startswith("DELETE"):
            physical = one.get("PhysicalResourceId", "")
            found[one["LogicalResourceId"]] = (one["ResourceType"], physical)
    return found


def missing(aws: Aws, planned: Iterable[Planned], in_stack: Iterable[str]) -> list[Planned]:
    """Return what the stack must hold: what it holds now, and what the account does not have.

    A bucket, role or repository that exists outside of the stack is used as it is.
    """
    owned = set(in_stack)
    return [one for one in planned if one.logical in owned or not _exists(aws, one)]


def apply(aws: Aws, name: str, template: str, tags: dict[str, str]) -> None:
    """Create the stack, or update it, and wait for its end.

    Raises:
        Problem: it failed; with CloudFormation's reasons. What was new is rolled back.
    """
    before = state(aws, name)
    if before in _BROKEN:  # an earlier attempt failed, and nothing of it remains
        aws.send(stacks.delete(name))
        _wait_until_gone(aws, name)
        before = None
    if before is None:
        aws.send(stacks.create(name, template, tags))
    else:
        try:
            aws.send(stacks.update(name, template, tags))
        except AwsProblem as problem:
            if "no updates are to be performed" in problem.original.lower():
                terminal.note(f"stack {name}: nothing to change")
                return
            raise
    about = watch.wait_until(
        lambda: aws.send(stacks.describe(name))["Stacks"][0],
        "StackStatus",
        _SETTLED,
    )
    if about["StackStatus"] not in _GOOD:
        reasons = "\n".join(f"  {reason}" for reason in _reasons(aws, name))
        raise Problem(f"stack {name} failed and was rolled back:\n{reasons}")


def remove(aws: Aws, name: str) -> None:
    """Delete the stack, then its buckets and repositories if they are empty.

    Raises:
        Problem: there is no such stack, or it cannot be deleted.
    """
    if state(aws, name) is None:
        raise Problem(f"there is no stack {name} in {aws.region}: nothing to remove")
    resources = own(aws, name)
    aws.send(stacks.delete(name))
    _wait_until_gone(aws, name)
    terminal.note(f"deleted stack {name}")
    for kind, physical in resources.values():
        if kind == _BUCKET:
            _delete_if_empty(aws, stacks.delete_bucket(physical), f"bucket {physical}")
        elif kind == _REPOSITORY:
            _delete_if_empty(aws, stacks.delete_repository(physical), f"repository {physical}")


def _delete_if_empty(aws: Aws, request: Request, label: str) -> None:
    try:
        aws.send(request)
    except AwsProblem as problem:
        if problem.code not in ("BucketNotEmpty", "RepositoryNotEmptyException"):
            raise
        terminal.note(f"kept {label}: it is not empty")
    else:
        terminal.note(f"deleted {label}: it was empty")


def _wait_until_gone(aws: Aws, name: str) -> None:
    with progress.working(f"deleting the stack {name}"):
        while (status := state(aws, name)) is not None:
            if status == "DELETE_FAILED":
                reasons = "\n".join(f"  {reason}" for reason in _reasons(aws, name))
                raise Problem(f"stack {name} cannot be deleted:\n{reasons}")
            time.sleep(watch.POLL_S)


def _reasons(aws: Aws, name: str) -> list[str]:
    """Why resources failed, the first first."""
    found = [
        f"{one['LogicalResourceId']} ({one['ResourceType']}): {one['ResourceStatusReason']}"
        for one in aws.send(stacks.events(name))["StackEvents"]
        if one["ResourceStatus"].endswith("FAILED") and one.get("ResourceStatusReason")
    ]
    return found[::-1] or ["CloudFormation gave no reason: see its console"]


def _exists(aws: Aws, planned: Planned) -> bool:
    """Whether the account has it, outside of the stack."""
    requests = {
        _BUCKET: account.bucket(planned.physical),
        _REPOSITORY: registry.describe_repository(planned.physical),
        "AWS::IAM::Role": account.role(planned.physical),
        "AWS::IAM::OIDCProvider": stacks.get_provider(planned.physical),
    }
    request = requests.get(planned.kind)
    if request is None:
        return False
    try:
        aws.send(request)
    except AwsProblem as problem:
        if problem.missing:
            return False
        raise
    return True

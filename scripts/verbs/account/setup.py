"""`kennel setup`: what an experiment needs in an empty account, as one CloudFormation stack."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from scripts.aws import stacks, target
from scripts.aws.client import Aws
from scripts.console import terminal
from scripts.problem import Problem
from scripts.requests.training import TAG
from scripts.spec import Experiment
from scripts.stack import addresses, github, template
from scripts.stack.addresses import Place
from scripts.stack.template import Extras, Planned
from scripts.verbs import options

_WORKFLOW = Path(".github/workflows/kennel.yml")


def setup(
    file: options.File,
    changes: options.Changes = None,
    github_repository: Annotated[
        str, typer.Option("--github", metavar="OWNER/REPO", help="also a role for its workflows")
    ] = "",
    budget: Annotated[
        float, typer.Option(min=0, metavar="USD", help="also a budget for each month")
    ] = 0,
    email: Annotated[
        str, typer.Option(help="with --budget: gets a mail when 80 % of it is spent")
    ] = "",
    down: Annotated[
        bool, typer.Option("--down", help="remove it; buckets with objects are kept")
    ] = False,
    policy: Annotated[
        bool, typer.Option("--policy", help="print the role's trust and policy for your admins")
    ] = False,
    yes: options.Yes = False,
    dry_run: options.DryRun = False,
) -> None:
    """Create what an experiment needs: bucket, role, repositories.

    One CloudFormation stack, which is shown first. What exists already is used as it is.
    """
    experiment = options.experiment(file, changes)
    extras = _extras(github_repository, budget, email)
    if policy or dry_run:
        place = _place_of_role(experiment)
        planned = template.plan(experiment, place, extras)
        content = template.template(planned, experiment)
        shown = _policies(planned) if policy else content
        terminal.result(json.dumps(shown, indent=2))
        return
    aws = Aws(experiment.region)
    where = target.find(aws)
    name = template.stack_name(experiment)
    if down:
        _confirm(f"remove stack {name} from {where}?", yes)
        stacks.remove(aws, name)
        return
    place = _place(experiment, aws, where)
    _create(aws, experiment, place, extras, where, yes=yes)
    if extras.github:
        role = f"arn:{place.partition}:iam::{place.account}:role/{template.github_role(experiment)}"
        _write_workflow(github.workflow(experiment, _in_repository(file), role, aws.region))
    terminal.note(f"next: kennel data upload PHOTOS {_data_root(experiment)}")


def _create(
    aws: Aws,
    experiment: Experiment,
    place: Place,
    extras: Extras,
    where: target.Target,
    *,
    yes: bool,
) -> None:
    name = template.stack_name(experiment)
    planned = template.plan(experiment, place, extras)
    owned = stacks.own(aws, name) if stacks.state(aws, name) else {}
    needed = stacks.missing(aws, planned, owned)
    for one in planned:
        if one not in needed:
            terminal.note(f"exists, and is used as it is: {one.kind} {one.physical}")
    if not needed and not owned:
        terminal.note("nothing to create")
        return
    rows = [
        ["update" if one.logical in owned else "create", one.kind, one.physical] for one in needed
    ]
    left_out = owned.keys() - {one.logical for one in needed}
    rows += [["remove", *owned[logical]] for logical in sorted(left_out)]
    terminal.table(["", "resource", "name"], rows, if_empty="")
    _confirm(f"{'update' if owned else 'create'} stack {name} on {where}?", yes)
    text = json.dumps(template.template(needed, experiment))
    stacks.apply(aws, name, text, experiment.tags | {TAG: experiment.name})


def _extras(github_repository: str, budget: float, email: str) -> Extras:
    parts = github_repository.split("/")
    if github_repository and (len(parts) != 2 or not all(parts)):
        raise Problem(f"--github {github_repository}: write it as OWNER/REPO")
    if email and not budget:
        raise Problem("--email needs --budget")
    return Extras(github_repository, budget, email)


def _place_of_role(experiment: Experiment) -> Place:
    """The account in the role's ARN; a dry run asks nobody."""
    if not experiment.region:
        raise Problem('--dry-run and --policy need a region in the experiment: region = "…"')
    return Place(_partition(experiment), addresses.role_account(experiment), experiment.region)


def _place(experiment: Experiment, aws: Aws, where: target.Target) -> Place:
    """The caller's account. On AWS it must be the account in the role's ARN.

    Raises:
        Problem: the spec names another account.
    """
    caller, account = where.identity["Account"], addresses.role_account(experiment)
    if account != caller and not where.emulator:
        raise Problem(
            f"the role in the experiment is in account {account}, but you are in {where}: "
            "change `role`, or use another profile (AWS_PROFILE)"
        )
    return Place(_partition(experiment), caller, aws.region)


def _partition(experiment: Experiment) -> str:
    return experiment.role.split(":")[1]


def _policies(planned: list[Planned]) -> dict[str, object]:
    """Trust and rights of each role."""
    return {
        one.physical: {
            "trust": one.body["Properties"]["AssumeRolePolicyDocument"],
            "policy": one.body["Properties"]["Policies"][0]["PolicyDocument"],
        }
        for one in planned
        if one.kind == "AWS::IAM::Role"
    }


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _write_workflow(text: str) -> None:
    if _WORKFLOW.exists():
        terminal.note(f"{_WORKFLOW} exists and was not changed; the new one would be:\n{text}")
        return
    _WORKFLOW.parent.mkdir(parents=True, exist_ok=True)
    _WORKFLOW.write_text(text)
    terminal.note(f"wrote {_WORKFLOW}: commit it, and start it on GitHub's Actions page")


def _in_repository(file: Path) -> str:
    """The spec's path as a workflow gives it, from the repository's root."""
    return Path(os.path.relpath(file)).as_posix()


def _data_root(experiment: Experiment) -> str:
    """The folder that holds the channels' folders."""
    uris = [channel.uri.rstrip("/") for channel in experiment.data.values()]
    parents = {uri.rpartition("/")[0] for uri in uris}
    return parents.pop() if len(uris) > 1 and len(parents) == 1 else uris[0]

"""Before anything is started: all that would fail, then the price and the account that pays it."""

from scripts.aws import checks, target
from scripts.aws.checks import Need
from scripts.aws.client import Aws
from scripts.console import terminal
from scripts.problem import Problem
from scripts.spec import Experiment


def check(
    aws: Aws, experiment: Experiment, need: Need, name: str, price: str, *, skip: bool
) -> None:
    """Print warnings, then the price line with the target in words.

    Args:
        aws: clients.
        experiment: what is to be started.
        need: the verb.
        name: of the job or the endpoint.
        price: what it costs on AWS.
        skip: whether the user gave --no-check.

    Raises:
        Problem: it would fail; with all reasons, and how to fix each.
    """
    found = target.find(aws)
    findings = [] if skip else checks.before(aws, experiment, need, name, on_aws=not found.emulator)
    for one in findings:
        if one.optional:
            terminal.note(f"warning: {one.check}: {one.result}: {_indented(one.fix)}")
    failing = [one for one in findings if not one.optional]
    if failing:
        listed = "\n".join(f"  {one.check}: {_indented(one.fix)}" for one in failing)
        raise Problem(
            f"nothing was started, because this would fail on {found}:\n{listed}\n"
            "--no-check starts it without these checks"
        )
    if found.emulator:
        terminal.note(f"{found}: no cost (on AWS: {price})")
    else:
        terminal.note(f"{found}: {price}")


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")

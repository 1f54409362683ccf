"""What all pages share: the account or emulator that they show, and how often they ask it."""

from dataclasses import dataclass
from pathlib import Path

from scripts.aws.client import Aws
from scripts.aws.target import Target


@dataclass(frozen=True)
class Context:
    """The account that the pages show; `poll_s` are the seconds between two looks at it.

    `bundle` is one on this machine, to try photos on.
    """

    aws: Aws
    target: Target
    poll_s: float
    bundle: Path | None = None

    @property
    def title(self) -> str:
        """What every page shows in large letters."""
        if self.target.emulator:
            return f"EMULATOR at {self.target.emulator}"
        return f"Account {self.target.account} in {self.target.region}"


_opened: list[Context] = []


def use(aws: Aws, target: Target, bundle: Path | None = None) -> None:
    """Show this account on all pages of this process."""
    # An account limits the calls a second; an emulator does not.
    _opened[:] = [Context(aws, target, 1.0 if target.emulator else 5.0, bundle)]


def current() -> Context:
    """The account that `use` was called with."""
    return _opened[0]

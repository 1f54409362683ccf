"""Where requests go: an account of AWS, or an emulator. `doctor` and the price line name it."""

import os
import urllib.request
from dataclasses import dataclass
from typing import Any

from scripts.aws.client import Aws, AwsProblem
from scripts.requests import account

# What the first page of an emulator begins with. Source: emulator/api/door.py.
_FIRST_PAGE = b"This is an emulator of AWS"


@dataclass(frozen=True)
class Target:
    """An account, or an emulator if `emulator` is its address."""

    identity: dict[str, Any]
    region: str
    alias: str = ""
    emulator: str = ""

    def __str__(self) -> str:
        if self.emulator:
            return f"EMULATOR at {self.emulator}"
        return f"account {self.account} in {self.region}{_credentials()}"

    @property
    def account(self) -> str:
        """The account's number, with its alias if it has one."""
        number = str(self.identity["Account"])
        return f"{number} ({self.alias})" if self.alias else number


def find(aws: Aws) -> Target:
    """Ask who the caller is.

    Raises:
        AwsProblem: the credentials are not usable.
    """
    identity = aws.send(account.identity())
    if address := emulator():
        return Target(identity, aws.region, emulator=address)
    try:
        aliases = aws.send(account.aliases())["AccountAliases"]
    except AwsProblem:  # a nicer name for the account; the number is enough
        aliases = []
    return Target(identity, aws.region, alias=aliases[0] if aliases else "")


def emulator() -> str:
    """Return the address of the emulator that AWS_ENDPOINT_URL names; empty if there is none."""
    address = os.environ.get("AWS_ENDPOINT_URL", "")
    if not address.startswith("http://"):
        return ""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 http only
            return address if answer.read(100).startswith(_FIRST_PAGE) else ""
    except OSError:
        return ""


def _credentials() -> str:
    if profile := os.environ.get("AWS_PROFILE"):
        return f" by profile {profile}"
    return " by AWS_ACCESS_KEY_ID" if os.environ.get("AWS_ACCESS_KEY_ID") else ""

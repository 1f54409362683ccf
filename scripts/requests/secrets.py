"""Secrets are not shown: a value whose name looks like that of a secret is masked.

A name is split into words (`dbPassword`, `HF_TOKEN`, `api-key`). It looks like a secret's if a word
is secret, password, passwd, passphrase, pwd, token, credential or credentials, or if two words are
api, access, private, secret, signing or encryption, and key. AWS's own tokens of a request, which
open nothing, are shown. In addresses, the password is masked: `https://user:***@host`.
"""

import itertools
import re
from typing import Any

MASK = "***"
_WORD = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET = frozenset(
    "secret secrets password passwords passwd passphrase pwd token tokens credential credentials "
    "apikey accesskey privatekey secretkey authtoken auth authorization".split()
)
_KEYS = frozenset("api access private secret signing encryption auth".split())
_SHOWN = frozenset(
    "ClientToken ClientRequestToken NextToken nextToken ContinuationToken IdempotencyToken "
    "nextForwardToken nextBackwardToken".split()
)
_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")


def looks_secret(name: str) -> bool:
    """Return whether a name is that of a secret."""
    if name in _SHOWN:
        return False
    words = [word.lower() for word in _WORD.findall(name)]
    pairs = itertools.pairwise(words)
    return not _SECRET.isdisjoint(words) or any(
        first in _KEYS and second in ("key", "keys") for first, second in pairs
    )


def masked(value: Any, name: str = "") -> Any:
    """Return a copy of a JSON value without secrets; `name` is the value's own."""
    if isinstance(value, dict):
        # Tags and variables are also pairs such as {"Key": "token", "Value": "x"}.
        own = value.get("Key", value.get("Name", value.get("name")))
        pair = str(own) if isinstance(own, str) else ""
        return {
            key: masked(one, pair if pair and key in ("Value", "value") else str(key))
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(one, name) for one in value]
    if value not in (None, "", True, False) and looks_secret(name):
        return MASK
    return _PASSWORD.sub(rf"\1:{MASK}@", value) if isinstance(value, str) else value

"""The region of the request at work: SageMaker's resources, logs and ARNs belong to one region.

A request's signature names its region. The threads that a request starts keep it.
"""

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_CURRENT: contextvars.ContextVar[str] = contextvars.ContextVar("region", default="")


def current(home: str) -> str:
    """Return the region at work, or `home` outside of a request."""
    return _CURRENT.get() or home


@contextlib.contextmanager
def at(name: str) -> Iterator[None]:
    """Work in a region until the `with` block ends."""
    token = _CURRENT.set(name)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def carry(call: Callable[P, R]) -> Callable[P, R]:
    """Return a function that works in the caller's region, for the threads of a pool."""
    name = _CURRENT.get()

    def carried(*arguments: P.args, **more: P.kwargs) -> R:
        with at(name):
            return call(*arguments, **more)

    return carried


def thread(call: Callable[..., object], *arguments: object, name: str) -> threading.Thread:
    """Return a thread, not yet started, that works in the caller's region."""
    return threading.Thread(target=carry(call), args=arguments, name=name, daemon=True)

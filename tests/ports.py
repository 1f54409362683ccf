"""Ports of loopback for what the tests start."""

import contextlib
import random
import socket

# Below those that the kernel gives to clients, any of which might take one before it is used, and
# beside those that Kennel's own servers choose of.
_PORTS = range(10_000, 20_000)


def free_port() -> int:
    """Return a port that nothing listens on now, nor on the one after it; a random one."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("", port))
            other.bind(("", port + 1))  # a job's hosts take two
            return port
    raise AssertionError("no free port on loopback")

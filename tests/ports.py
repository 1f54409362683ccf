"""Free ports of the loopback interface for servers that tests start."""

import contextlib
import random
import socket

# Below the ports that the kernel gives to clients, which could take one before the test uses it,
# and outside the ports from which Kennel's own servers choose.
_PORTS = range(10_000, 20_000)


def free_port() -> int:
    """Return a random port such that nothing listens on it or on the next one."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as first, socket.socket() as second, contextlib.suppress(OSError):
            first.bind(("", port))
            second.bind(("", port + 1))  # the hosts of a job take two
            return port
    raise AssertionError("no free port on loopback")

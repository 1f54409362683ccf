"""Ports for hosts of one job on this machine."""

import socket


def two_ports() -> int:
    """Return a free port whose next is free too."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("", 0))
            port: int = one.getsockname()[1]
            try:
                other.bind(("", port + 1))
            except (OSError, OverflowError):
                continue
            return port

"""Messages between the hosts of a job: each reports that it is alive, done or failed.

A host that has lost another can wait in a collective operation for minutes. These messages tell it
within seconds, together with the first cause.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

START = timedelta(minutes=15)  # the hosts of one job can start so far apart
ANSWER = timedelta(seconds=20)
HEARTBEAT = 1.0  # seconds
SILENT = 40.0  # seconds without a heartbeat after which a host counts as lost
GRACE = 20.0  # seconds: torchrun first ends the other processes of the host that failed
LINGER = 15.0  # seconds that the first host waits for the others to read its messages


class Hosts:
    """The messages of this host. The first host runs the store that holds them.

    Args:
        hosts: the names of all hosts, in the same order on each.
        host: the name of this host.
        address: of the first host.
        port: a TCP port of the first host.
        failed: called once, from another thread, when another host has failed.
    """

    def __init__(
        self, hosts: Sequence[str], host: str, address: str, port: int, failed: Callable[[], None]
    ) -> None:
        self._hosts, self._host, self._failed = hosts, host, failed
        self._first = hosts[0] == host
        self._store = TCPStore(
            address, port, is_master=self._first, timeout=START, wait_for_workers=False
        )
        self._store.set_timeout(ANSWER)
        self._heard = {other: (0, 0.0) for other in hosts if other != host}
        self._ended = threading.Event()
        self.cause = ""  # another host's failure, once it is known
        self._watch = threading.Thread(target=self._run, name="kennel-hosts", daemon=True)
        self._watch.start()

    def done(self) -> str:
        """Report that this host is done and wait for the others; return the cause if one failed."""
        with self._lost_on_error():
            self._store.set(f"done/{self._host}", "")
            self._store.add("done", 1)
            while not self.cause and self._store.add("done", 0) < len(self._hosts):
                time.sleep(HEARTBEAT / 2)
        self._leave()
        return self.cause

    def fail(self, cause: str, *, first: bool) -> str:
        """Report that this host failed; return the first cause, which can be another host's.

        If another host may have failed first, it gets time to report its cause.

        Args:
            cause: of this host.
            first: whether this host certainly failed first.
        """
        until = time.monotonic() + (0 if first else GRACE)
        while not self.cause and time.monotonic() < until:
            time.sleep(HEARTBEAT / 4)
        with self._lost_on_error(cause):
            stored = self._store.compare_set("cause", "", cause).decode()
            self.cause = self.cause or stored
        self._leave()
        return self.cause or cause

    def _leave(self) -> None:
        """Leave; the first host keeps the store running until the others have left."""
        self._ended.set()
        self._watch.join()
        with contextlib.suppress(RuntimeError):
            left = self._store.add("left", 1)
            until = time.monotonic() + LINGER
            while self._first and left < len(self._hosts) and time.monotonic() < until:
                time.sleep(HEARTBEAT / 4)
                left = self._store.add("left", 0)

    def _run(self) -> None:
        while True:
            with self._lost_on_error():
                self._exchange()
            if self.cause:
                self._failed()
                return
            if self._ended.wait(HEARTBEAT):
                return

    def _exchange(self) -> None:
        self._store.add(f"beat/{self._host}", 1)
        if self._store.check(["cause"]):
            self.cause = self._store.get("cause").decode()
            return
        now = time.monotonic()
        for other, (beats, at) in self._heard.items():
            found = self._store.add(f"beat/{other}", 0)
            if (
                found != beats or not found
            ):  # a host that has not started yet does not count as lost
                self._heard[other] = (found, now)
            elif now - at > SILENT and not self._store.check([f"done/{other}"]):
                gone = f"HostLost: no heartbeat from host {other} for {SILENT:.0f} s"
                self.cause = self._store.compare_set("cause", "", gone).decode()

    @contextlib.contextmanager
    def _lost_on_error(self, otherwise: str = "") -> Iterator[None]:
        """Treat an error of the store as the loss of the first host, which runs it."""
        try:
            yield
        except RuntimeError as error:
            self.cause = (
                self.cause
                or otherwise
                or (f"HostLost: host {self._hosts[0]} cannot be reached ({error})")
            )

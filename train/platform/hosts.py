"""What the hosts of a job tell each other beside training: that they live, are done, or failed.

A host whose peer is gone may wait in a collective for minutes; here it learns of it within seconds,
and of the first cause.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

START = timedelta(minutes=15)  # hosts of one job may begin that far apart
ANSWER = timedelta(seconds=20)
BEAT = 1.0  # seconds
SILENT = 40.0  # seconds without a beat: the host is gone
HEARSAY = 20.0  # seconds: torchrun ends the processes beside one that failed before it says so
PARTING = 15.0  # seconds that the first host waits for others to have heard


class Hosts:
    """This host's part; the first host keeps the store, at `address` and `port`.

    Args:
        hosts: the names of all, in the same order everywhere.
        host: this one.
        address: where the first host is reached.
        port: a TCP port of it.
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
        """Tell that this host is done, wait for the others; return the cause if one failed."""
        with self._lost_if_it_fails():
            self._store.set(f"done/{self._host}", "")
            self._store.add("done", 1)
            while not self.cause and self._store.add("done", 0) < len(self._hosts):
                time.sleep(BEAT / 2)
        self._part()
        return self.cause

    def fail(self, cause: str, *, first: bool) -> str:
        """Tell that this host failed; return the first cause of all, which may be another's.

        Unless this is the `first` one for certain, another host is given time to tell its own.
        """
        until = time.monotonic() + (0 if first else HEARSAY)
        while not self.cause and time.monotonic() < until:
            time.sleep(BEAT / 4)
        with self._lost_if_it_fails(cause):
            told = self._store.compare_set("cause", "", cause).decode()
            self.cause = self.cause or told
        self._part()
        return self.cause or cause

    def _part(self) -> None:
        """Leave; the first host keeps the store until the others have left."""
        self._ended.set()
        self._watch.join()
        with contextlib.suppress(RuntimeError):
            left = self._store.add("left", 1)
            until = time.monotonic() + PARTING
            while self._first and left < len(self._hosts) and time.monotonic() < until:
                time.sleep(BEAT / 4)
                left = self._store.add("left", 0)

    def _run(self) -> None:
        while True:
            with self._lost_if_it_fails():
                self._look()
            if self.cause:
                self._failed()
                return
            if self._ended.wait(BEAT):
                return

    def _look(self) -> None:
        self._store.add(f"beat/{self._host}", 1)
        if self._store.check(["cause"]):
            self.cause = self._store.get("cause").decode()
            return
        now = time.monotonic()
        for other, (beats, at) in self._heard.items():
            found = self._store.add(f"beat/{other}", 0)
            if found != beats or not found:  # a host that has not begun yet is waited for
                self._heard[other] = (found, now)
            elif now - at > SILENT and not self._store.check([f"done/{other}"]):
                gone = f"HostLost: nothing was heard of host {other} for {SILENT:.0f} s"
                self.cause = self._store.compare_set("cause", "", gone).decode()

    @contextlib.contextmanager
    def _lost_if_it_fails(self, otherwise: str = "") -> Iterator[None]:
        """The store is gone when the first host is."""
        try:
            yield
        except RuntimeError as error:
            self.cause = (
                self.cause
                or otherwise
                or (f"HostLost: host {self._hosts[0]} cannot be reached any more ({error})")
            )

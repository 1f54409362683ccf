"""The keys of jobs: each lets one job's containers use S3 through the emulator, while it runs."""

import contextlib
import hmac
import secrets
import threading
from collections.abc import Iterator

# What a job may use. A role on SageMaker could allow more; a job that runs here needs its data.
SERVICES = ("s3", "sts")
_READY_S = 30.0


class JobKeys:
    """The keys of the jobs that run."""

    def __init__(self) -> None:
        self._live: set[str] = set()
        self._url = ""
        self._ready = threading.Event()

    def listen_at(self, url: str) -> None:
        """Set the emulator's address, which jobs get with their keys."""
        self._url = url
        self._ready.set()

    def has(self, key: str) -> bool:
        """Return whether this is the key of a job that runs."""
        return any(hmac.compare_digest(key.encode(), live.encode()) for live in list(self._live))

    @contextlib.contextmanager
    def issue(self, region: str) -> Iterator[dict[str, str]]:
        """Yield the variables with a new key for a container; it is valid until the block ends."""
        self._ready.wait(_READY_S)  # a job that is tried again can be earlier than the server
        key = f"EMULATORJOB{secrets.token_hex(12).upper()}"
        self._live.add(key)
        try:
            yield {
                "AWS_ENDPOINT_URL": self._url,
                "AWS_ACCESS_KEY_ID": key,
                "AWS_SECRET_ACCESS_KEY": "emulator",
                "AWS_DEFAULT_REGION": region,
            }
        finally:
            self._live.discard(key)

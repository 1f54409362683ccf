"""Counts the requests to endpoints; each second, the new ones go to CloudWatch."""

import datetime as dt
import threading
from collections import Counter
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from emulator.settings import ACCOUNT

NAMESPACE = "AWS/SageMaker"
# One value for all requests of this time: a load test must not fill the memory.
_EVERY_S = 1.0


class Counted:
    """The requests to all endpoints of a region."""

    def __init__(self, region: str) -> None:
        self._cloudwatch: Any = cloudwatch_backends[ACCOUNT][region]
        self._lock = threading.Lock()
        self._new: Counter[tuple[str, str]] = Counter()

    def add(self, endpoint: str, variant: str) -> None:
        """Count one request that was sent to a model, whatever its answer."""
        with self._lock:
            is_first = not self._new
            self._new[endpoint, variant] += 1
        if is_first:
            timer = threading.Timer(_EVERY_S, self._publish)
            timer.daemon = True
            timer.start()

    def _publish(self) -> None:
        with self._lock:
            new, self._new = self._new, Counter()
        for (endpoint, variant), count in new.items():
            datum = {
                "MetricName": "Invocations",
                "Dimensions": [
                    {"Name": "EndpointName", "Value": endpoint},
                    {"Name": "VariantName", "Value": variant},
                ],
                "Timestamp": dt.datetime.now(dt.UTC).replace(tzinfo=None),  # as moto compares it
                "Value": count,
                "Unit": "None",
            }
            self._cloudwatch.put_metric_data(NAMESPACE, [datum])

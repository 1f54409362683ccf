"""One-time schedules of EventBridge that delete an endpoint; moto only stores schedules."""

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from moto.scheduler.models import Schedule, scheduler_backends
from werkzeug.test import EnvironBuilder, run_wsgi_app

from emulator import region
from emulator.errors import ApiError

log = logging.getLogger("kennel.emulator")
# Seconds between two looks. AWS starts a schedule within a minute.
_EVERY_S = 1.0
_TARGET = re.compile(r"arn:aws[a-z-]*:scheduler:::aws-sdk:sagemaker:deleteEndpoint")
_ONCE = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")


class Schedules:
    """Fires schedules when their time has come, in a thread of its own.

    Args:
        delete_endpoint: the operation DeleteEndpoint.
        moto: answers requests to the scheduler; a schedule that has fired is deleted through it.
        closing: set when the emulator ends.
    """

    def __init__(
        self,
        delete_endpoint: Callable[[dict[str, Any]], object],
        moto: Callable[..., Any],
        closing: threading.Event,
    ) -> None:
        self._delete_endpoint, self._moto, self._closing = delete_endpoint, moto, closing
        threading.Thread(target=self._run, name="schedules", daemon=True).start()

    def _run(self) -> None:
        while not self._closing.wait(_EVERY_S):
            try:
                for where, schedule in list(_due(datetime.now(UTC))):
                    self._fire(where, schedule)
            except Exception:  # the next look may succeed
                log.exception("schedules")

    def _fire(self, where: str, schedule: Schedule) -> None:
        endpoint = json.loads(schedule.target.get("Input") or "{}").get("EndpointName", "")
        log.info("schedule %s deletes endpoint %s", schedule.name, endpoint)
        with region.at(where):
            try:
                self._delete_endpoint({"EndpointName": endpoint})
            except ApiError as error:
                log.warning("schedule %s: %s", schedule.name, error.message)
                if "in-progress" in error.message:  # as AWS, try again
                    return
        scope = f"emulator/20260101/{where}/scheduler/aws4_request"
        headers = [
            ("Host", f"scheduler.{where}.amazonaws.com"),
            ("Authorization", f"AWS4-HMAC-SHA256 Credential={scope}"),
        ]
        builder = EnvironBuilder(
            path=f"/schedules/{schedule.name}",
            query_string={"groupName": schedule.group_name, "clientToken": "fired"},
            method="DELETE",
            headers=headers,
        )
        run_wsgi_app(self._moto, builder.get_environ(), buffered=True)


def _due(now: datetime) -> Iterator[tuple[str, Schedule]]:
    """The enabled one-time schedules whose time has come, with their regions."""
    for backends in list(scheduler_backends.values()):
        for where, backend in list(backends.items()):
            for group in list(backend.schedule_groups.values()):
                for schedule in list(group.schedules.values()):
                    once = _ONCE.fullmatch(schedule.schedule_expression)
                    if not once or schedule.state == "DISABLED":  # moto's update sets None
                        continue
                    zone = ZoneInfo(schedule.schedule_expression_timezone)
                    at = datetime.fromisoformat(once[1]).replace(tzinfo=zone)
                    if at <= now and _TARGET.fullmatch(schedule.target.get("Arn", "")):
                        yield where, schedule

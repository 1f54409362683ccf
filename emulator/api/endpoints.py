"""Endpoints in the API: create, describe, list, update, delete; and those that a restart finds."""

import logging
import threading
from collections.abc import Callable

from emulator import contract
from emulator.api.listing import page
from emulator.api.models import Models
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.errors import Invalid, JobError
from emulator.runs.fleet import Fleet

log = logging.getLogger("kennel.emulator")

KIND = "endpoint"
_BUSY = ("Creating", "Updating", "SystemUpdating", "Deleting", "RollingBack")


class Endpoints:
    """The operations on endpoints, and their fleets."""

    def __init__(self, context: Context, models: Models) -> None:
        self._context, self._models = context, models
        self._fleets: dict[str, Fleet] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        for endpoint in context.records.all(KIND):
            self._bring_back(endpoint)

    def operations(self) -> Operations:
        """Return what this answers."""
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": self.list_endpoints,
            "UpdateEndpoint": self.update,
            "DeleteEndpoint": self.delete,
        }

    def fleet(self, name: str) -> Fleet | None:
        """Return what serves an endpoint now; None for one that is not in service."""
        return self._fleets.get(name)

    def create(self, request: Record) -> Record:
        """Bring an endpoint up."""
        name, config = request["EndpointName"], request["EndpointConfigName"]
        fleet = self._fleet(name, config)
        arn = self._context.settings.arn(KIND, name)
        record = request | {"EndpointArn": arn, "EndpointStatus": "Creating"}
        if not self._context.records.add(KIND, name, record | {"_config": fleet.config}):
            raise Invalid(f'Cannot create already existing endpoint "{arn}".')
        self._later(self._deploy, name, fleet)
        return {"EndpointArn": arn}

    def describe(self, request: Record) -> Record:
        """Return an endpoint, with its variants as they are."""
        name = request["EndpointName"]
        record = self._need(name)
        fleet = self._fleets.get(name)
        if fleet:
            record["ProductionVariants"] = fleet.summaries()
        return record | {
            "AsyncInferenceConfig": record["_config"].get("AsyncInferenceConfig"),
            "DataCaptureConfig": None,
        }

    def list_endpoints(self, request: Record) -> Record:
        """Return summaries."""
        chosen, more = page(
            self._context.records.all(KIND), request, name="EndpointName", status="EndpointStatus"
        )
        return {"Endpoints": [contract.members("EndpointSummary", one) for one in chosen]} | more

    def update(self, request: Record) -> Record:
        """Bring up a fleet after another configuration, then end the one before.

        Raises:
            Invalid: no such endpoint or configuration, or it is busy.
        """
        name, config = request["EndpointName"], request["EndpointConfigName"]
        status = self._need(name)["EndpointStatus"]
        arn = self._context.settings.arn(KIND, name)
        if status in _BUSY:
            raise Invalid(f'Cannot update in-progress endpoint "{arn}".')
        fleet = self._fleet(name, config)
        self._context.records.update(KIND, name, EndpointStatus="Updating")
        self._later(self._redeploy, name, fleet)
        return {"EndpointArn": arn}

    def delete(self, request: Record) -> Record:
        """End an endpoint, in whatever state."""
        name = request["EndpointName"]
        status = self._need(name)["EndpointStatus"]
        if status in ("Updating", "Deleting", "SystemUpdating"):
            arn = self._context.settings.arn(KIND, name)
            raise Invalid(f'Cannot update in-progress endpoint "{arn}".')
        self._context.records.update(KIND, name, EndpointStatus="Deleting")
        self._later(self._end, name)
        return {}

    def close(self) -> None:
        """End all instances, after the context's `closing` was set; the records stay."""
        for thread in self._threads:
            thread.join()
        for fleet in list(self._fleets.values()):
            fleet.end()

    def _need(self, name: str) -> Record:
        arn = self._context.settings.arn(KIND, name)
        return self._context.need(KIND, name, said=f'Could not find endpoint "{arn}".')

    def _fleet(self, name: str, config_name: str) -> Fleet:
        config = self._models.config(config_name)
        variants = config["ProductionVariants"]
        models = {one["ModelName"]: self._models.model(one["ModelName"]) for one in variants}
        return Fleet(self._context, name, config, models)

    def _later(self, call: Callable[..., None], name: str, *more: object) -> None:
        thread = threading.Thread(target=call, args=(name, *more), name=name, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _deploy(self, name: str, fleet: Fleet) -> None:
        reason = _start(fleet)
        self._set(name, fleet, reason, failed="Failed")

    def _redeploy(self, name: str, fleet: Fleet) -> None:
        before = self._fleets.get(name)
        reason = _start(fleet)
        # What served before goes on serving when the new does not come up.
        self._set(name, fleet, reason, failed="InService" if before else "Failed")
        if before and not reason:
            before.end()

    def _set(self, name: str, fleet: Fleet, reason: str, *, failed: str) -> None:
        with self._lock, self._context.records.change(KIND, name) as record:
            deleted = record["EndpointStatus"] == "Deleting"
            if not reason and not deleted:
                self._fleets[name] = fleet
                record |= {
                    "EndpointStatus": "InService",
                    "EndpointConfigName": fleet.config["EndpointConfigName"],
                    "_config": fleet.config,
                }
                record.pop("FailureReason", None)
            elif reason and not self._context.closing.is_set():
                record["FailureReason"] = reason
                record["EndpointStatus"] = record["EndpointStatus"] if deleted else failed
        if deleted and not reason:
            fleet.end()

    def _end(self, name: str) -> None:
        for thread in self._threads:  # a deployment under way ends first
            if thread is not threading.current_thread() and thread.name == name:
                thread.join()
        with self._lock:
            fleet = self._fleets.pop(name, None)
        if fleet:
            fleet.end()
        self._context.records.remove(KIND, name)

    def _bring_back(self, endpoint: Record) -> None:
        """Deploy again what was in service when the emulator ended."""
        name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
        if status == "Deleting":
            self._context.records.remove(KIND, name)
            return
        if status == "Failed":
            return
        change = "Creating" if status == "Creating" else "SystemUpdating"
        self._context.records.update(KIND, name, EndpointStatus=change)
        try:
            fleet = self._fleet(name, endpoint["EndpointConfigName"])
        except Invalid as error:  # its configuration or model was deleted meanwhile
            reason = f"The emulator ended, and cannot bring the endpoint back: {error}"
            self._context.records.update(KIND, name, EndpointStatus="Failed", FailureReason=reason)
            return
        self._later(self._deploy, name, fleet)


def _start(fleet: Fleet) -> str:
    """Start a fleet; return why it did not come up, or nothing."""
    try:
        fleet.start()
    except JobError as error:
        return str(error)[:1024]
    except Exception as error:
        log.exception("endpoint")
        return f"InternalServerError: the emulator could not serve: {error!r}"[:1024]
    return ""

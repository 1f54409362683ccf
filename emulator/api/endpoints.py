"""Endpoints in the API: create, describe, list, update, delete; redeployed after a restart."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from emulator import region
from emulator.api.listing import Listing, summaries
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.errors import Invalid, JobError
from emulator.resources import ENDPOINT, ENDPOINT_CONFIG, MODEL
from emulator.runs.hosting.fleet import Fleet
from emulator.runs.hosting.variant import Variant

log = logging.getLogger("kennel.emulator")

# VariantPropertyType -> member of a ProductionVariant; data capture is not emulated.
_PROPERTIES = {
    "DesiredInstanceCount": "InitialInstanceCount",
    "DesiredWeight": "InitialVariantWeight",
}
# The longest InvocationTimeoutSeconds.
LONGEST_ASYNC_S = 3600
_BUSY = ("Creating", "Updating", "SystemUpdating", "Deleting", "RollingBack")


class Endpoints:
    """The operations on endpoints, and the instances of each."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._fleets: dict[str, Fleet] = {}
        self._pending: dict[str, Fleet] = {}  # those that are being deployed
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        for _ in context.each_region():
            for endpoint in context.records.all(ENDPOINT):
                self._restore(endpoint)

    def operations(self) -> Operations:
        """Return the operations by name."""
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": self.list_endpoints,
            "UpdateEndpoint": self.update,
            "UpdateEndpointWeightsAndCapacities": self.update_weights,
            "DeleteEndpoint": self.delete,
        }

    def fleet(self, name: str) -> Fleet | None:
        """Return the instances of an endpoint, or None if it is not in service."""
        return self._fleets.get(self._context.unique(name))

    def create(self, request: Record) -> Record:
        """Start an endpoint."""
        name = request["EndpointName"]
        fleet = self._new_fleet(name, request["EndpointConfigName"])
        record = request | {"EndpointStatus": "Creating", "_config": fleet.config}
        answer = self._context.create(ENDPOINT, record)
        self._pending[self._context.unique(name)] = fleet
        self._in_thread(self._deploy, name, fleet)
        return answer

    def describe(self, request: Record) -> Record:
        """Return an endpoint, with the current state of its variants."""
        name = request["EndpointName"]
        record = self._context.require(ENDPOINT, name)
        fleet = self.fleet(name)
        if fleet:
            record["ProductionVariants"] = fleet.summaries()
        if pending := self._pending.get(self._context.unique(name)):
            record["PendingDeploymentSummary"] = pending.pending()
        return record | {
            "AsyncInferenceConfig": record["_config"].get("AsyncInferenceConfig"),
            "DataCaptureConfig": None,
        }

    def list_endpoints(self, request: Record) -> Record:
        """Return summaries."""
        endpoints = self._context.records.all(ENDPOINT)
        return summaries(ENDPOINT, endpoints, request, Listing(since=True))

    def update(self, request: Record) -> Record:
        """Start the instances of another configuration, then end the previous ones.

        Raises:
            Invalid: no such endpoint or configuration, or the endpoint is busy.
        """
        name = request["EndpointName"]
        record = self._require_idle(name)
        desired: dict[str, Record] = {}
        if request.get("RetainAllVariantProperties"):
            excluded = [
                _PROPERTIES.get(one["VariantPropertyType"])
                for one in request.get("ExcludeRetainedVariantProperties", [])
            ]
            desired = {
                variant: {key: value for key, value in changed.items() if key not in excluded}
                for variant, changed in self._retained(name).items()
            }
        fleet = self._new_fleet(name, request["EndpointConfigName"], desired)
        self._context.records.update(ENDPOINT, name, EndpointStatus="Updating")
        self._pending[self._context.unique(name)] = fleet
        self._in_thread(self._redeploy, name, fleet, desired)
        return {"EndpointArn": record["EndpointArn"]}

    def update_weights(self, request: Record) -> Record:
        """Change weights and numbers of instances.

        Raises:
            Invalid: no such endpoint or variant, or the endpoint is busy.
        """
        name, changes = request["EndpointName"], request["DesiredWeightsAndCapacities"]
        record = self._context.require(ENDPOINT, name)
        known = {one["VariantName"]: one for one in record["_config"]["ProductionVariants"]}
        names = [change["VariantName"] for change in changes]
        if missing := [variant for variant in names if variant not in known]:
            raise Invalid(
                f'The variant name(s) "{", ".join(missing)}" is/are not present within endpoint '
                f'configuration "{record["EndpointConfigName"]}".'
            )
        for variant in names:
            if names.count(variant) > 1:
                raise Invalid(f'The variant name "{variant}" was non-unique within the request.')
        for change in changes:
            _check_change(change, known[change["VariantName"]])
        self._require_idle(name)
        self._context.records.update(ENDPOINT, name, EndpointStatus="Updating")
        self._in_thread(self._rescale, name, changes)
        return {"EndpointArn": record["EndpointArn"]}

    def delete(self, request: Record) -> Record:
        """End an endpoint and delete it.

        Raises:
            Invalid: no such endpoint, or it is busy: even one that is being created.
        """
        name = request["EndpointName"]
        _check_not_busy(self._context.require(ENDPOINT, name))
        self._context.records.update(ENDPOINT, name, EndpointStatus="Deleting")
        self._in_thread(self._end, name)
        return {}

    def close(self) -> None:
        """End all instances; the records remain. The context's `closing` must be set."""
        for thread in self._threads:
            thread.join()
        for fleet in list(self._fleets.values()):
            fleet.end()

    def _require_idle(self, name: str) -> Record:
        record = self._context.require(ENDPOINT, name)
        if record["EndpointStatus"] == "Failed":
            raise Invalid(
                f'Cannot update endpoint "{record["EndpointArn"]}": its status is Failed. Only '
                "DeleteEndpoint is possible: delete it, and create it again"
            )
        _check_not_busy(record)
        return record

    def _retained(self, name: str) -> dict[str, Record]:
        """Return weight and number of instances of each variant, as they are now."""
        fleet = self.fleet(name)
        return {
            variant.name: {"InitialVariantWeight": variant.weight}
            | ({} if variant.serverless else {"InitialInstanceCount": variant.count})
            for variant in (fleet.variants if fleet else [])
        }

    def _new_fleet(
        self, name: str, config_name: str, desired: dict[str, Record] | None = None
    ) -> Fleet:
        config = self._context.require(ENDPOINT_CONFIG, config_name)
        names = [variant["ModelName"] for variant in config["ProductionVariants"]]
        models = {model: self._context.require(MODEL, model) for model in names}
        return Fleet(self._context, name, config, models, desired or {})

    def _in_thread(self, call: Callable[..., None], name: str, *more: object) -> None:
        thread = region.thread(call, name, *more, name=self._context.unique(name))
        self._threads = [other for other in self._threads if other.is_alive()] + [thread]
        thread.start()

    def _deploy(self, name: str, fleet: Fleet) -> None:
        reason = _start(fleet)
        self._save_result(name, fleet, reason, failed="Failed")

    def _rescale(self, name: str, changes: list[Record]) -> None:
        """Change the variants; if one fails, all go back to what they were."""
        fleet, reason = self.fleet(name), ""
        assert fleet  # it is in service
        until = self._patience(name, fleet)
        variants = {variant.name: variant for variant in fleet.variants}
        before = self._retained(name)
        try:
            for change in changes:
                variant = variants[change["VariantName"]]
                variant.scale(change.get("DesiredInstanceCount", variant.count), until)
        except JobError as error:
            reason = str(error)[:1024]
            for change in changes:
                variant = variants[change["VariantName"]]
                with contextlib.suppress(JobError):
                    variant.scale(before[variant.name].get("InitialInstanceCount", 1), until)
        for change in () if reason else changes:
            variant = variants[change["VariantName"]]
            variant.weight = change.get("DesiredWeight", variant.weight)
            variant.serverless |= change.get("ServerlessUpdateConfig", {})
        with self._context.records.change(ENDPOINT, name) as record:
            record["_desired"] = {
                one: kept | _serverless(variants[one]) for one, kept in self._retained(name).items()
            }
            record["EndpointStatus"] = "InService"
            record.pop("FailureReason", None)
            if reason:
                record["FailureReason"] = reason

    def _patience(self, name: str, fleet: Fleet) -> Callable[[], bool]:
        """Return whether to wait no longer for the requests of instances that end."""
        is_async = "AsyncInferenceConfig" in fleet.config
        longest = LONGEST_ASYNC_S if is_async else self._context.settings.limits.invocation_s
        deadline = time.monotonic() + longest

        def is_over() -> bool:
            status = self._context.require(ENDPOINT, name)["EndpointStatus"]
            is_late = time.monotonic() > deadline
            return is_late or status == "Deleting" or self._context.closing.is_set()

        return is_over

    def _redeploy(self, name: str, fleet: Fleet, desired: dict[str, Record]) -> None:
        previous = self.fleet(name)
        reason = _start(fleet)
        # If the new instances fail, the previous ones continue to serve.
        self._save_result(name, fleet, reason, failed="InService" if previous else "Failed")
        if not reason:
            self._context.records.update(ENDPOINT, name, _desired=desired)
            if previous:
                previous.drain(self._patience(name, previous))
                previous.end()

    def _save_result(self, name: str, fleet: Fleet, reason: str, *, failed: str) -> None:
        """Set the endpoint's status after a deployment: in service, or failed with a reason."""
        with self._lock, self._context.records.change(ENDPOINT, name) as record:
            self._pending.pop(self._context.unique(name), None)
            if not reason:
                self._fleets[self._context.unique(name)] = fleet
                record |= {
                    "EndpointStatus": "InService",
                    "EndpointConfigName": fleet.config["EndpointConfigName"],
                    "_config": fleet.config,
                }
                record.pop("FailureReason", None)
            elif not self._context.closing.is_set():
                record |= {"FailureReason": reason, "EndpointStatus": failed}

    def _end(self, name: str) -> None:
        for thread in self._threads:  # wait for a deployment in progress
            if thread is not threading.current_thread() and thread.name == self._context.unique(
                name
            ):
                thread.join()
        with self._lock:
            fleet = self._fleets.pop(self._context.unique(name), None)
        if fleet:
            fleet.end()
        self._context.records.remove(ENDPOINT, name)

    def _restore(self, endpoint: Record) -> None:
        """Deploy an endpoint again that was in service when the previous emulator ended."""
        name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
        if status == "Deleting":
            self._context.records.remove(ENDPOINT, name)
            return
        if status == "Failed":
            return
        status = "Creating" if status == "Creating" else "SystemUpdating"
        self._context.records.update(ENDPOINT, name, EndpointStatus=status)
        try:
            fleet = self._new_fleet(
                name, endpoint["EndpointConfigName"], endpoint.get("_desired", {})
            )
        except Invalid as error:  # its configuration or model was deleted
            reason = f"The emulator was restarted and cannot deploy the endpoint again: {error}"
            self._context.records.update(
                ENDPOINT, name, EndpointStatus="Failed", FailureReason=reason
            )
            return
        self._in_thread(self._deploy, name, fleet)


def _check_not_busy(record: Record) -> None:
    if record["EndpointStatus"] in _BUSY:
        raise Invalid(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')


def _serverless(variant: Variant) -> Record:
    return {"ServerlessConfig": variant.serverless} if variant.serverless else {}


def _check_change(change: Record, variant: Record) -> None:
    name, serverless = change["VariantName"], "ServerlessConfig" in variant
    if serverless and "DesiredInstanceCount" in change:
        raise Invalid(f"DesiredInstanceCount is not for the serverless variant {name}")
    if not serverless and "ServerlessUpdateConfig" in change:
        raise Invalid(f"ServerlessUpdateConfig is for serverless variants only, not for {name}")
    if change.get("DesiredInstanceCount", 1) < 1:
        raise Invalid(f"DesiredInstanceCount must be at least 1 for variant {name}")


def _start(fleet: Fleet) -> str:
    """Start the instances; return the reason if they fail, else an empty string."""
    try:
        fleet.start()
    except JobError as error:
        return str(error)[:1024]
    except Exception as error:
        log.exception("endpoint")
        return f"InternalServerError: the emulator could not serve: {error!r}"[:1024]
    return ""

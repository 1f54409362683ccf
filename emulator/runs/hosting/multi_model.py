"""Multi-model endpoints: an instance loads a model when it is first invoked.

Containers implement the API of multi-model-server:
POST /models, POST /models/{name}/invoke, DELETE /models/{name}.
"""

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping
from http import HTTPStatus

from emulator.context import Context
from emulator.errors import ApiError, JobError
from emulator.runs.hosting.instance import Answer, Instance
from emulator.runs.hosting.model_data import model_uri
from emulator.runs.hosting.variant import Variant
from emulator.store import artifacts
from emulator.store.objects import Location

_CONFLICT, _NO_ROOM = HTTPStatus.CONFLICT, HTTPStatus.INSUFFICIENT_STORAGE


class MultiModel:
    """Loads, unloads and invokes models by TargetModel."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        # Target -> name in the container, the least recently used first.
        self._loaded: dict[Instance, dict[str, str]] = {}

    def invoke(
        self,
        variant: Variant,
        instance: Instance,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Answer:
        """Invoke a model on an instance; load it first if needed.

        Raises:
            ApiError: ValidationError if there is no such model.
            NoAnswer: as `Instance.send`.
        """
        with self._lock:
            loaded = self._loaded.setdefault(instance, {})
            name = loaded.pop(target, "")
            if not name:
                name = hashlib.sha256(target.encode()).hexdigest()[:32]
                refusal: Answer | None = None
                loads = False
                try:
                    refusal = self._load(variant, instance, target, name, timeout)
                    loads = refusal is None
                finally:
                    if not loads:  # the next invocation downloads what may be mended then
                        shutil.rmtree(instance.root / "models" / name, ignore_errors=True)
                if refusal:
                    return refusal
            loaded[target] = name
        return instance.send("POST", f"/models/{name}/invoke", body, headers, timeout=timeout)

    def _load(
        self, variant: Variant, instance: Instance, target: str, name: str, timeout: float
    ) -> Answer | None:
        """Load a model; unload the least recently used ones while the container has no room.

        Returns:
            The container's answer if it refused, else None.
        """
        self._download(variant, instance, target, name)
        loaded = self._loaded[instance]
        url = instance.container_path(f"/opt/ml/models/{name}/model")
        load = json.dumps({"model_name": name, "url": url}).encode()
        headers = {"Content-Type": "application/json"}
        while True:
            answer = instance.send("POST", "/models", load, headers, timeout=timeout)
            if answer.status in (HTTPStatus.OK, _CONFLICT):
                return None
            if answer.status != _NO_ROOM or not loaded:
                return answer
            oldest = next(iter(loaded))
            unloaded = loaded.pop(oldest)
            instance.send("DELETE", f"/models/{unloaded}", b"", {}, timeout=timeout)
            shutil.rmtree(instance.root / "models" / unloaded, ignore_errors=True)

    def _download(self, variant: Variant, instance: Instance, target: str, name: str) -> None:
        place = Location.parse(model_uri(variant.container)).join(target.lstrip("/"))
        folder = instance.root / "models" / name / "model"
        if folder.exists():
            return
        folder.mkdir(parents=True)
        try:
            artifacts.unpack(self._context.objects, place, folder)
        except JobError as error:
            shutil.rmtree(folder)
            message = str(error)
            if not self._context.objects.key(place):
                message = (
                    f"Failed to download model data(bucket: {place.bucket}, key: {place.key}). "
                    "Please ensure that there is an object located at the URL and that the role "
                    "passed to CreateModel has permissions to download the model."
                )
            raise ApiError(message, code="ValidationError", status=400) from None

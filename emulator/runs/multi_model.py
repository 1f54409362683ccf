"""Multi-model endpoints: models are loaded into an instance when first asked for.

The container's side is MMS's: POST /models, POST /models/{name}/invoke, DELETE /models/{name}.
"""

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping
from http import HTTPStatus

from emulator.api.models import model_data
from emulator.context import Context
from emulator.errors import ApiError, JobError
from emulator.runs.fleet import Variant
from emulator.runs.instance import Answer, Instance
from emulator.store import artifacts
from emulator.store.objects import Location

_CONFLICT, _NO_ROOM = HTTPStatus.CONFLICT, HTTPStatus.INSUFFICIENT_STORAGE


class MultiModel:
    """Loads, unloads and invokes models by TargetModel."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        # In the order of their last use.
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
        """Have an instance's model answer.

        Raises:
            ApiError: ValidationError, when there is no such model.
            NoAnswer: as `Instance.send`.
        """
        with self._lock:
            loaded = self._loaded.setdefault(instance, {})
            name = loaded.pop(target, "")
            if not name:
                name = hashlib.sha256(target.encode()).hexdigest()[:32]
                refusal = self._load(variant, instance, target, name, timeout)
                if refusal:
                    return refusal
            loaded[target] = name
        return instance.send("POST", f"/models/{name}/invoke", body, headers, timeout=timeout)

    def _load(
        self, variant: Variant, instance: Instance, target: str, name: str, timeout: float
    ) -> Answer | None:
        """Load a model, unloading those used longest ago while there is no room."""
        self._fetch(variant, instance, target, name)
        loaded = self._loaded[instance]
        url = instance.seen(f"/opt/ml/models/{name}/model")
        said = json.dumps({"model_name": name, "url": url}).encode()
        headers = {"Content-Type": "application/json"}
        while True:
            answer = instance.send("POST", "/models", said, headers, timeout=timeout)
            if answer.status in (HTTPStatus.OK, _CONFLICT):
                return None
            if answer.status != _NO_ROOM or not loaded:
                return answer
            oldest = next(iter(loaded))
            unloaded = loaded.pop(oldest)
            instance.send("DELETE", f"/models/{unloaded}", b"", {}, timeout=timeout)
            shutil.rmtree(instance.root / "models" / unloaded, ignore_errors=True)

    def _fetch(self, variant: Variant, instance: Instance, target: str, name: str) -> None:
        place = Location.parse(model_data(variant.container)).join(target.lstrip("/"))
        folder = instance.root / "models" / name / "model"
        if folder.exists():
            return
        folder.mkdir(parents=True)
        try:
            artifacts.unpack(self._context.objects, place, folder)
        except JobError:
            shutil.rmtree(folder)
            raise ApiError(
                f"Failed to download model data(bucket: {place.bucket}, key: {place.key}). Please "
                "ensure that there is an object located at the URL and that the role passed to "
                "CreateModel has permissions to download the model.",
                code="ValidationError",
                status=400,
            ) from None

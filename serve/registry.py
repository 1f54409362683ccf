"""Many bundles in one worker: SageMaker's multi-model contract, with equal weights kept once.

    POST /models {"model_name", "url"}   load     GET /models         list
    POST /models/NAME/invoke             invoke   GET /models/NAME    one
    DELETE /models/NAME                  unload

Which models to keep is SageMaker's to decide: it unloads when a load answers 507.

Source: "Build Your Own Container for SageMaker AI Multi-Model Endpoints".
"""

import gc
import hashlib
import json
import logging
import os
import re
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mms.context import Context
from torch import nn

from classifier import bundle, fusion
from serve import machine
from serve.errors import RequestError
from serve.formats import answers
from serve.front import health
from serve.front.headers import CALL
from serve.handler import Handler, Outcome, headers_of

log = logging.getLogger(__name__)

_CALL = re.compile(r"(GET|POST|DELETE) /models(?:/([A-Za-z0-9._-]+)(/invoke)?)?")
_HINT = "POST /models, GET /models, POST /models/NAME/invoke, DELETE /models/NAME"
# Loading holds the weights about three times for a moment: file, network, folded network.
_TIMES = 3
_RESERVE_MB = 256


class Pool:
    """Tensors by their contents: networks that share a backbone share its memory."""

    def __init__(self) -> None:
        self._known: weakref.WeakValueDictionary[str, torch.Tensor] = weakref.WeakValueDictionary()

    def share(self, network: nn.Module) -> None:
        """Put known tensors in the place of equal ones of `network`, and remember the others."""
        for module in network.modules():
            tensors: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for own in tensors:
                for name, tensor in own.items():
                    if tensor is not None:
                        own[name] = self._known.setdefault(_digest(tensor), tensor)

    def __len__(self) -> int:
        return len(self._known)


def _digest(tensor: torch.Tensor) -> str:
    layout = f"{tensor.dtype} {tuple(tensor.shape)} {tensor.device}"
    if tensor.is_mkldnn:
        layout += f" {fusion.layout(tensor).hex()}"
        tensor = tensor.to_dense()
    else:
        layout += f" {tensor.stride()}"
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return layout + hashlib.sha256(data.numpy().data).hexdigest()


class MultiModelHandler(Handler):
    """Loads, lists, unloads and asks bundles by name, all in this process."""

    def _load(self, context: Context) -> float | None:
        self._prepare_process(context)
        self._pool = Pool()
        self._models: dict[str, tuple[str, Handler]] = {}
        # A worker that took the place of a dead one has to have what SageMaker thinks is loaded.
        self._kept = Path(os.environ[health.DIRECTORY_VARIABLE]) / "models"
        if self._kept.is_file():
            for name, url in json.loads(self._kept.read_text()).items():
                try:
                    self._models[name] = (url, self._admit(Path(url)))
                except (ValueError, OSError, RequestError) as error:
                    log.warning("model %s could not be loaded again: %s", name, error)
        return None

    def _answer(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        """Do what is to be managed, then ask each model its part of the batch."""
        outcomes: dict[int, Outcome | bytes] = {}
        asked: dict[str, list[int]] = {}
        for place, item in enumerate(data):
            try:
                call = headers_of(context, place).get(CALL, "")
                done = self._manage(call, bytes(item.get("body", b"")))
                if isinstance(done, str):
                    asked.setdefault(done, []).append(place)
                else:
                    outcomes[place] = json.dumps(done).encode()
            except RequestError as error:
                outcomes[place] = error
        for name, places in asked.items():
            # It may have been unloaded by this very batch.
            if name not in self._models:
                outcomes |= dict.fromkeys(places, _missing(name))
                continue
            headers = [headers_of(context, place) for place in places]
            model = self._models[name][1]
            found = model.inference(model.preprocess([data[place] for place in places], headers))
            self._heart.work.pictures += sum(
                len(one[1]) for one in found if not isinstance(one, RequestError)
            )
            outcomes |= dict(zip(places, found, strict=True))
        return [self._write_any(outcomes[place], context, place) for place in range(len(data))]

    def _write_any(self, outcome: Outcome | bytes, context: Context, place: int) -> bytes:
        if not isinstance(outcome, bytes):
            return self._write(outcome, context, place)
        context.set_response_content_type(place, answers.JSON)
        return outcome

    def _manage(self, call: str, body: bytes) -> str | dict[str, object]:
        """Do one management call and return its answer; the model's name where one is asked.

        Raises:
            RequestError: 400, 404, 405, 409 or 507.
        """
        match = _CALL.fullmatch(call)
        if match is None:
            raise RequestError(405, "not with this method", _HINT)
        verb, name, invoke = match.groups()
        if name is None and verb == "GET":
            return {"models": [self._about(one) for one in self._models]}
        if name is None and verb == "POST":
            return self._add(body)
        if invoke and verb == "POST" and name:
            return str(name)
        if name is None or invoke or verb == "POST":
            raise RequestError(405, "not with this method", _HINT)
        if name not in self._models:
            raise _missing(name)
        about = self._about(name)
        if verb == "DELETE":
            del self._models[name]
            gc.collect()  # a traced network refers to itself, and its memory is wanted now
            self._keep()
        return about

    def _about(self, name: str) -> dict[str, object]:
        return {"modelName": name, "modelUrl": self._models[name][0]}

    def _add(self, body: bytes) -> dict[str, object]:
        try:
            fields = json.loads(body)
            name, url = str(fields["model_name"]), str(fields["url"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RequestError(400, "no model_name and url in JSON", _HINT) from None
        if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
            raise RequestError(400, f"model name {name[:100]!r} cannot stand in a path", _HINT)
        if name in self._models:
            raise RequestError(409, f"model {name} is loaded already", "unload it first")
        try:
            self._models[name] = (url, self._admit(Path(url)))
        except (MemoryError, torch.OutOfMemoryError):
            raise _too_large(name) from None
        except (bundle.BundleError, OSError) as error:
            raise RequestError(400, str(error), "load a bundle that Kennel trained") from error
        self._keep()
        return self._about(name)

    def _admit(self, directory: Path) -> Handler:
        weights = directory / bundle.MODEL
        size = weights.stat().st_size >> 20 if weights.is_file() else 0
        if size * _TIMES + _RESERVE_MB > machine.memory_left_mb():
            raise _too_large(directory.name)
        model = self.beside(directory)
        self._pool.share(model.network)
        return model

    def _keep(self) -> None:
        partial = self._kept.with_suffix(".partial")
        partial.write_text(json.dumps({name: url for name, (url, _) in self._models.items()}))
        partial.replace(self._kept)


def _missing(name: str) -> RequestError:
    return RequestError(404, f"model {name} is not loaded", "load it with POST /models")


def _too_large(name: str) -> RequestError:
    return RequestError(507, f"not enough memory for model {name}", "unload another model first")


_handler = MultiModelHandler()


def handle(data: Sequence[dict[str, Any]] | None, context: Context) -> list[bytes] | None:
    """Serve the model server: without data once at the start, then with every batch."""
    if data is None:
        _handler.initialize(context)
        return None
    return _handler.handle(data, context)

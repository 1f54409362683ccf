"""Many bundles in one worker: SageMaker's multi-model contract, with equal weights stored once.

    POST /models {"model_name", "url"}   load     GET /models         list
    POST /models/NAME/invoke             invoke   GET /models/NAME    one
    DELETE /models/NAME                  unload

SageMaker decides which models to unload: it does so when a load answers 507.

Source: "Build Your Own Container for SageMaker AI Multi-Model Endpoints".
"""

import gc
import json
import logging
import os
import re
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mms.context import Context

from classifier.description import MODEL, ONNX, BundleError
from pictures.text import printable
from serve import machine
from serve.engines.choice import Chosen
from serve.errors import RequestError
from serve.formats import answers
from serve.front import health
from serve.front.files import write_whole
from serve.front.headers import CALL
from serve.handler import Handler, Outcome, headers_of, run
from serve.lane import handover

log = logging.getLogger(__name__)

_CALL = re.compile(r"(GET|POST|DELETE) /models(?:/([A-Za-z0-9._-]+)(/invoke)?)?")
_LOADABLE = "load a bundle that Kennel trained"
_HINT = "POST /models, GET /models, POST /models/NAME/invoke, DELETE /models/NAME"
# Loading needs the weights three times for a moment: file, network, prepared network.
_COPIES = 3
_RESERVE_MB = 256


class MultiModelHandler(Handler):
    """Loads, lists, unloads and invokes bundles by name, all in this process."""

    def _load(self, context: Context) -> Chosen | None:
        self._prepare_process(context)
        # Weights by content: networks in torch with the same backbone share its memory.
        self._weights: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self._models: dict[str, tuple[str, Handler]] = {}
        # After a worker died, its replacement must have the models that SageMaker believes are
        # loaded.
        self._loaded = Path(os.environ[health.DIRECTORY_VARIABLE]) / "models"
        if self._loaded.is_file():
            for name, url in json.loads(self._loaded.read_text()).items():
                try:
                    self._models[name] = (url, self._load_model(name, url))
                except RequestError as error:
                    log.warning("model %s could not be reloaded: %s", name, printable(str(error)))
        return None

    def _answer(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        """Do the management calls, then pass each model its part of the batch."""
        outcomes: dict[int, Outcome | bytes] = {}
        invocations: dict[str, list[int]] = {}
        for index, item in enumerate(data):
            try:
                call = headers_of(context, index).get(CALL, "")
                done = self._manage(call, bytes(item.get("body", b"")))
                if isinstance(done, str):
                    invocations.setdefault(done, []).append(index)
                else:
                    outcomes[index] = json.dumps(done).encode()
            except RequestError as error:
                outcomes[index] = error.without_frames()
        for name, indices in invocations.items():
            # This batch can have unloaded it.
            if name not in self._models:
                outcomes |= dict.fromkeys(indices, _missing(name))
                continue
            headers = [headers_of(context, index) for index in indices]
            model = self._models[name][1]
            model._heartbeat = self._heartbeat  # models can load before there is one
            found = model.inference(model.preprocess([data[index] for index in indices], headers))
            self._count_pictures(found)
            outcomes |= dict(zip(indices, found, strict=True))
        return [self._write_any(outcomes[index], context, index) for index in range(len(data))]

    def _write_any(self, outcome: Outcome | bytes, context: Context, index: int) -> bytes:
        if not isinstance(outcome, bytes):
            return self._write(outcome, context, index)
        context.set_response_content_type(index, answers.JSON)
        return outcome

    def _manage(self, call: str, body: bytes) -> str | dict[str, object]:
        """Do one management call and return its answer; return the model's name for an invocation.

        Raises:
            RequestError: 400, 404, 405, 409 or 507.
        """
        match = _CALL.fullmatch(call)
        if match is None:
            raise RequestError(405, "method not allowed", _HINT)
        verb, name, invoke = match.groups()
        if name is None and verb == "GET":
            return {"models": [self._describe(one) for one in self._models]}
        if name is None and verb == "POST":
            return self._add(body)
        if invoke and verb == "POST" and name:
            return str(name)
        if name is None or invoke or verb == "POST":
            raise RequestError(405, "method not allowed", _HINT)
        if name not in self._models:
            raise _missing(name)
        answer = self._describe(name)
        if verb == "DELETE":
            del self._models[name]
            handover.withdraw(name)
            gc.collect()  # a traced network refers to itself, and its memory must be free now
            self._save_list()
        return answer

    def _describe(self, name: str) -> dict[str, object]:
        return {"modelName": name, "modelUrl": self._models[name][0]}

    def _add(self, body: bytes) -> dict[str, object]:
        try:
            fields = json.loads(body)
            name, url = fields["model_name"], fields["url"]
            if not (isinstance(name, str) and isinstance(url, str)):
                raise TypeError("they are texts")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RequestError(400, "the JSON needs model_name and url", _HINT) from None
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name):
            raise RequestError(
                400,
                f"invalid model name {name[:100]!r}: 1 to 200 letters, digits, . _ - are allowed",
                _HINT,
            )
        if name in self._models:
            raise RequestError(409, f"model {name} is already loaded", "unload it first")
        self._models[name] = (url, self._load_model(name, url))
        self._save_list()
        return self._describe(name)

    def _load_model(self, name: str, url: str) -> Handler:
        """Load a bundle and announce it to the lane.

        A bundle is a stranger's: whatever fails is the bundle's fault and harms no other model.

        Raises:
            RequestError: 400 with the reason, 507.
        """
        directory = bundle_directory(url, self._settings.models_dir)
        try:
            files = [directory / name for name in (MODEL, ONNX)]
            size = max(one.stat().st_size >> 20 if one.is_file() else 0 for one in files)
            if size * _COPIES + _RESERVE_MB > machine.available_memory_mb():
                raise _too_large(name)
            model = self.with_bundle(directory)
            model.engine.share_weights(self._weights)
            handover.announce(name, model.crop)
        except RequestError:
            raise
        except MemoryError:
            raise _too_large(name) from None
        except (BundleError, OSError) as error:
            raise RequestError(400, str(error), _LOADABLE) from error
        except Exception as error:
            log.warning("model %s cannot be loaded: %s", name, printable(repr(error)[:300]))
            reason = f"the bundle is damaged ({type(error).__name__}: {str(error)[:300]})"
            raise RequestError(400, reason, _LOADABLE) from error
        return model

    def _save_list(self) -> None:
        urls = {name: url for name, (url, _) in self._models.items()}
        write_whole(self._loaded, json.dumps(urls))


def bundle_directory(url: str, models: Path) -> Path:
    """Return the directory of a bundle, which must be below the models' folder.

    Args:
        url: a path, as SageMaker sends it: `/opt/ml/models/HASH/model`.
        models: the folder.

    Raises:
        RequestError: 400. The path, or a file in it, leads elsewhere, or is no regular file:
            reading a pipe would never end.
    """
    hint = f"SageMaker unpacks models below {models}"
    try:
        root, directory = models.resolve(), Path(url).resolve()
        if not (Path(url).is_absolute() and directory.is_relative_to(root) and directory != root):
            raise RequestError(400, f"{url[:200]!r} is not below {models}", hint)
        for entry in directory.iterdir() if directory.is_dir() else ():
            if not entry.resolve().is_relative_to(directory):
                raise RequestError(400, f"the link {entry.name!r} leads out of the bundle", hint)
            if not (entry.is_file() or entry.is_dir()):
                raise RequestError(400, f"{entry.name!r} is not a regular file", hint)
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, a circle of links
        raise RequestError(400, f"{url[:200]!r} is not a path: {error}"[:400], hint) from None
    return directory


def _missing(name: str) -> RequestError:
    return RequestError(404, f"model {name} is not loaded", "load it with POST /models")


def _too_large(name: str) -> RequestError:
    return RequestError(507, f"not enough memory for model {name}", "unload another model first")


_handler = MultiModelHandler()


def handle(data: Sequence[dict[str, Any]] | None, context: Context) -> list[bytes] | None:
    """Serve MMS: without data once at the start, then with every batch."""
    return run(_handler, data, context)

"""A user's own code around the model, in an image built from ours; never from a bundle.

`KENNEL_CODE` names a module or a .py file with any of the four functions of SageMaker's inference
toolkit, so that an `inference.py` moves over as it is:

    model_fn(model_dir)                 -> model     instead of the bundle's network
    input_fn(body, content_type)        -> data      instead of our decoder and transform
    predict_fn(data, model)             -> prediction
    output_fn(prediction, accept)       -> body, or (body, content type)

Each may take the model server's context as one more argument, as in the toolkit.
"""

import inspect
import json
import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import torch
from mms.context import Context
from PIL import UnidentifiedImageError

from serve import user_code
from serve.errors import RequestError
from serve.formats import answers
from serve.front.headers import ACCEPT, CONTENT_TYPE, REQUEST_ID
from serve.handler import Handler, Question, headers_of

log = logging.getLogger(__name__)

Function = Callable[..., Any]


class CustomHandler(Handler):
    """Answers requests one by one through the user's functions, and ours for those not given."""

    def _load(self, context: Context) -> float | None:
        module = user_code.load(str(self._settings.code), self._settings.model_dir)
        self._functions: dict[str, Function] = {
            name: getattr(module, name) for name in user_code.FUNCTIONS if hasattr(module, name)
        }
        given = self._functions.get("model_fn")
        if given is None:
            difference = super()._load(context)
            self._model: Any = self._predictor.predict
            return difference
        if not {"input_fn", "predict_fn"} <= set(self._functions):
            raise user_code.CodeError(
                "with a model_fn there must be an input_fn and a predict_fn too"
            )
        torch.set_num_threads(self._settings.layout.threads)
        self._model = _call(given, context, str(self._settings.model_dir))
        return None  # a model of the user's own has no golden inputs to replay

    def _answer(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        return [self._one(item, context, place) for place, item in enumerate(data)]

    def _one(self, item: dict[str, Any], context: Context, place: int) -> bytes:
        headers = headers_of(context, place)
        try:
            body, content_type = self._through(item, headers, context)
        except RequestError as error:
            refusal = error
        except Exception as error:
            refusal = _failure(error)
        else:
            context.set_response_content_type(place, content_type)
            return body
        context.set_response_status(refusal.code, HTTPStatus(refusal.code).phrase, place)
        context.set_response_content_type(place, answers.JSON)
        return refusal.body(headers.get(REQUEST_ID, ""))

    def _through(
        self, item: dict[str, Any], headers: dict[str, str], context: Context
    ) -> tuple[bytes, str]:
        """Take one request through the four functions; return body and content type."""
        question: Question | None = None
        if input_fn := self._functions.get("input_fn"):
            data = self._read(input_fn, item, headers, context)
        else:
            # What output_fn writes is not ours to refuse.
            ours = {ACCEPT} if "output_fn" in self._functions else set()
            prepared = self._prepare(item, {k: v for k, v in headers.items() if k not in ours})
            if isinstance(prepared, RequestError):
                raise prepared
            question, data = prepared, prepared.pixels
        predict_fn = self._functions.get("predict_fn")
        with torch.inference_mode():
            prediction = (
                _call(predict_fn, context, data, self._model) if predict_fn else self._model(data)
            )
        if output_fn := self._functions.get("output_fn"):
            accept = headers.get(ACCEPT)
            if accept in (None, "", "*/*"):
                accept = self._settings.default_accept
            written = _call(output_fn, context, prediction, accept)
            body, content_type = written if isinstance(written, tuple) else (written, accept)
            return body.encode() if isinstance(body, str) else bytes(body), str(content_type)
        if question is not None and isinstance(prediction, torch.Tensor):
            predictions = self._conclude(question, prediction)
            if isinstance(predictions, RequestError):
                raise predictions
            several = question.several
            encoded = question.answer.encode(predictions[1], question.wishes, several=several)
            return encoded, question.answer.content_type
        if isinstance(prediction, torch.Tensor):
            prediction = prediction.tolist()
        return json.dumps(prediction, allow_nan=False).encode(), answers.JSON

    def _read(
        self, input_fn: Function, item: dict[str, Any], headers: dict[str, str], context: Context
    ) -> Any:
        try:
            body, kind = bytes(item.get("body", b"")), headers.get(CONTENT_TYPE, "")
            return _call(input_fn, context, body, kind)
        except (ValueError, UnidentifiedImageError) as error:
            raise RequestError(
                400, f"the request cannot be read: {str(error)[:300]}", "see what input_fn takes"
            ) from error


def _call(function: Function, context: Context, *given: Any) -> Any:
    """Call with the context too where the function has a place for it."""
    takes = inspect.signature(function).parameters
    return function(*given, context) if len(takes) > len(given) else function(*given)


def _failure(error: Exception) -> RequestError:
    """Return what the toolkit's own errors say, and 500 for the others."""
    code = getattr(error, "status_code", 500)
    if isinstance(code, int) and 400 <= code < 500:
        return RequestError(code, str(error)[:300], "see what the endpoint's own code takes")
    log.error("a request failed in custom code", exc_info=error)
    return RequestError(500, "the model failed on this request", "look for it in the log")


_handler = CustomHandler()


def handle(data: Sequence[dict[str, Any]] | None, context: Context) -> list[bytes] | None:
    """Serve the model server: without data once at the start, then with every batch."""
    if data is None:
        _handler.initialize(context)
        return None
    return _handler.handle(data, context)

"""The user's own code around the model, in an image built from ours; never from a bundle.

`KENNEL_CODE` names a module or a .py file with any of the four functions of SageMaker's inference
toolkit, so that an existing `inference.py` works unchanged:

    model_fn(model_dir)                 -> model     instead of the bundle's network
    input_fn(body, content_type)        -> data      instead of our decoder and transform
    predict_fn(data, model)             -> prediction
    output_fn(prediction, accept)       -> body, or (body, content type)

Each can take the model server's context as one more argument, as in the toolkit.
"""

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mms.context import Context
from PIL import UnidentifiedImageError

from serve import user_code
from serve.errors import RequestError
from serve.formats import answers
from serve.front.headers import ACCEPT, CONTENT_TYPE, REQUEST_ID
from serve.handler import Handler, ParsedRequest, headers_of, internal_error, run, write_error

Function = Callable[..., Any]


class CustomHandler(Handler):
    """Answers requests one at a time, with the user's functions and our own for the others."""

    def _load(self, context: Context) -> float | None:
        module = user_code.load(str(self._settings.code), self._settings.model_dir)
        self._functions: dict[str, Function] = {
            name: getattr(module, name) for name in user_code.FUNCTIONS if hasattr(module, name)
        }
        model_fn = self._functions.get("model_fn")
        if model_fn is None:
            difference = super()._load(context)
            self._model: Any = self._predictor.predict
            return difference
        if not {"input_fn", "predict_fn"} <= set(self._functions):
            raise user_code.CodeError("a model_fn needs an input_fn and a predict_fn too")
        torch.set_num_threads(self._settings.layout.threads)
        self._model = _call(model_fn, context, str(self._settings.model_dir))
        return None  # the user's own model has no golden inputs

    def _answer(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        return [self._answer_one(item, context, index) for index, item in enumerate(data)]

    def _answer_one(self, item: dict[str, Any], context: Context, index: int) -> bytes:
        try:
            body, content_type = self._call_functions(item, headers_of(context, index), context)
        except RequestError as error:
            return write_error(error, context, index)
        except Exception as error:
            return write_error(_to_request_error(error), context, index)
        context.set_response_content_type(index, content_type)
        return body

    def _call_functions(
        self, item: dict[str, Any], headers: dict[str, str], context: Context
    ) -> tuple[bytes, str]:
        """Pass one request through the four functions; return body and content type."""
        request: ParsedRequest | None = None
        if input_fn := self._functions.get("input_fn"):
            data = self._call_input_fn(input_fn, item, headers, context)
        else:
            # An output_fn decides itself which Accept it serves.
            ignored = {ACCEPT} if "output_fn" in self._functions else set()
            prepared = self._prepare(item, {k: v for k, v in headers.items() if k not in ignored})
            if isinstance(prepared, RequestError):
                raise prepared
            request, data = prepared, prepared.pixels
        predict_fn = self._functions.get("predict_fn")
        with torch.inference_mode():
            prediction = (
                _call(predict_fn, context, data, self._model) if predict_fn else self._model(data)
            )
        if output_fn := self._functions.get("output_fn"):
            accept = headers.get(ACCEPT)
            if accept in (None, "", "*/*"):
                accept = self._settings.default_accept
            output = _call(output_fn, context, prediction, accept)
            body, content_type = output if isinstance(output, tuple) else (output, accept)
            return body.encode() if isinstance(body, str) else bytes(body), str(content_type)
        if request is not None and isinstance(prediction, torch.Tensor):
            outcome = self._predictions(request, prediction)
            if isinstance(outcome, RequestError):
                raise outcome
            encoded = request.encode(outcome[1], headers.get(REQUEST_ID, ""))
            return encoded, request.answer_format.content_type
        if isinstance(prediction, torch.Tensor):
            prediction = prediction.tolist()
        return json.dumps(prediction, allow_nan=False).encode(), answers.JSON

    def _call_input_fn(
        self, input_fn: Function, item: dict[str, Any], headers: dict[str, str], context: Context
    ) -> Any:
        try:
            body, kind = bytes(item.get("body", b"")), headers.get(CONTENT_TYPE, "")
            return _call(input_fn, context, body, kind)
        except (ValueError, UnidentifiedImageError) as error:
            raise RequestError(
                400,
                f"the request cannot be read: {str(error)[:300]}",
                "see what input_fn accepts",
            ) from error


def _call(function: Function, context: Context, *arguments: Any) -> Any:
    """Call the function, with the context if it has a parameter for it."""
    parameters = inspect.signature(function).parameters
    if len(parameters) > len(arguments):
        return function(*arguments, context)
    return function(*arguments)


def _to_request_error(error: Exception) -> RequestError:
    """Return the 4xx of an error that carries one, as the toolkit's errors do; else a 500."""
    code = getattr(error, "status_code", 500)
    if isinstance(code, int) and 400 <= code < 500:
        return RequestError(code, str(error)[:300], "see what the code of the endpoint accepts")
    return internal_error(error, "a request failed in custom code")


_handler = CustomHandler()


def handle(data: Sequence[dict[str, Any]] | None, context: Context) -> list[bytes] | None:
    """Serve MMS: without data once at the start, then with every batch."""
    return run(_handler, data, context)

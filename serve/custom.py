"""The user's own code around the model: in an image built from ours, or in the bundle if allowed.

`KENNEL_CODE` names a module, a .py file or `bundle`. Its functions (`user_functions.py`) are those
of SageMaker's inference toolkit, so an existing `inference.py` works unchanged; each function that
it lacks is ours. Pictures and predictions are tensors where torch is installed, else arrays.
"""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from mms.context import Context, RequestProcessor
from sagemaker_inference import content_types

from classifier.description import DESCRIPTION, BundleError, Description, describe
from classifier.transform import EvaluationTransform, Floats
from serve import machine, user_code, user_statuses
from serve.engines.choice import Chosen
from serve.errors import RequestError
from serve.formats import accepting, arrays, encodings
from serve.formats.options import Options, read_options
from serve.front.headers import (
    ACCEPT,
    ATTRIBUTES,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    QUERY,
    REQUEST_ID,
)
from serve.handler import (
    Handler,
    Outcome,
    ParsedRequest,
    Prepared,
    headers_of,
    run,
    write_error,
)
from serve.lane import handover
from serve.user_answers import are_probabilities, by_accept, encoded
from serve.user_arrays import Arrays
from serve.user_errors import any_error, input_error, output_error, transform_error
from serve.user_functions import UserFunctions

log = logging.getLogger(__name__)

_NO_HEAT_MAP = RequestError(
    400,
    "explain needs our decoder and the bundle's own network",
    "leave explain out: this endpoint has a model_fn or an input_fn",
)


class CustomHandler(Handler):
    """Answers requests one at a time, with the user's functions and our own for the others."""

    def _load(self, context: Context) -> Chosen | None:
        with user_code.explained(str(self._settings.code)):
            return self._load_code(context)

    def _load_code(self, context: Context) -> Chosen | None:
        settings = self._settings
        name, directory = str(settings.code), str(settings.model_dir)
        self._user = UserFunctions(user_code.load(name, settings.model_dir), name)
        self._arrays = _arrays()
        self._has_own_network = "model_fn" not in self._user
        self._numbered = False  # whether the classes have no names
        chosen = None
        if "pre_model_fn" in self._user:
            self._user.call("pre_model_fn", context, directory)
        if self._has_own_network:
            try:
                chosen = super()._load(context)
            except BundleError as error:
                if (settings.model_dir / DESCRIPTION).exists():
                    raise
                raise user_code.CodeError(
                    f"{error}; or add a model_fn(model_dir) to KENNEL_CODE={name}, "
                    "which returns your own model"
                ) from error
            self._model: Any = self._arrays.model(self._engine.predict)
        else:
            self._prepare_process(context)
            self._arrays.set_threads(settings.layout.threads)
            self._model = self._user.call("model_fn", context, directory)
            if not ("input_fn" in self._user or "transform_fn" in self._user):
                self._prepare_decoder()
        if "model_warmup_fn" in self._user:
            self._user.call("model_warmup_fn", context, directory, self._model)
        return chosen  # None: the user's own model has no golden inputs

    def _prepare_decoder(self) -> None:
        """Choose the transform of pictures for the user's model, and prove that it takes them."""
        directory = self._settings.model_dir
        if (directory / DESCRIPTION).is_file():
            self._description = describe(directory)
        else:
            self._numbered = True
            self._description = _numbered_classes(2)
            log.warning(
                "%s has no %s: pictures are resized to %d, cropped to %d and normalised as "
                "torchvision's networks take them, and classes are numbered; "
                "for another transform add an input_fn",
                directory,
                DESCRIPTION,
                self._description.transform.resize,
                self._description.transform.crop,
            )
        if "predict_fn" not in self._user:
            self._check_model()
        handover.announce(handover.MODEL, self.crop)

    def _check_model(self) -> None:
        side = self._description.transform.crop
        needed = "model_fn alone must return a model from float32 [N, 3, H, W] to logits [N, C]"
        cure = "add an input_fn and a predict_fn"
        try:
            output = self._predict(self._arrays.given(np.zeros((1, 3, side, side), np.float32)))
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error)[:300]}"
            raise user_code.CodeError(f"{needed}; this one raises {reason}: {cure}") from error
        if "output_fn" in self._user:
            return
        logits = self._arrays.table(output)
        if logits is None or logits.shape[1] < 2:
            shape = list(output.shape) if hasattr(output, "shape") else type(output).__name__
            raise user_code.CodeError(
                f"{needed}; this one returns {shape} for one picture: {cure}, or an output_fn"
            )
        classes = len(self._description.classes)
        if not self._numbered and logits.shape[1] != classes:
            raise user_code.CodeError(
                f"the model of model_fn has {logits.shape[1]} outputs, but "
                f"{DESCRIPTION} has {classes} classes: use the bundle of this model, or "
                "add an output_fn"
            )

    def _predict(self, data: Any) -> Any:
        return self._arrays.call(self._model, data)

    def _prepare(self, item: dict[str, Any], headers: dict[str, str]) -> Prepared:
        """As for a bundle; a model_fn can also get an array of floats, as its toolkit reads it."""
        try:
            body = _body(item, headers, self._settings.max_body)
            if self._has_own_network or not arrays.is_floats(body):
                return super()._prepare(item, headers)
            pixels = arrays.floats(body, self._settings.max_pictures)
            chosen = accepting.choose(headers.get(ACCEPT), self._settings.default_format)
            return ParsedRequest(pixels, True, chosen, Options())
        except RequestError as error:
            return error.without_frames()

    def _predictions(self, request: ParsedRequest, logits: Floats) -> Outcome:
        if request.options.explain and not self._has_own_network:
            return _NO_HEAT_MAP
        if self._numbered and logits.shape[1] != len(self._description.classes):
            self._description = _numbered_classes(logits.shape[1])
        outcome = super()._predictions(request, logits)
        own = "predict_fn" in self._user or not self._has_own_network
        if own and not isinstance(outcome, RequestError) and are_probabilities(logits):
            # A second softmax would flatten them, and novelty is a measure of logits.
            given = [replace(one, is_normalised=True, novelty=None) for one in outcome[1]]
            return request, given
        return outcome

    def _answer(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        self._gate.measure()
        return [self._answer_one(item, context, index) for index, item in enumerate(data)]

    def _answer_one(self, item: dict[str, Any], context: Context, index: int) -> bytes:
        headers = headers_of(context, index)
        own = self._context_of_one(context, headers)
        try:
            body, content_type = self._call_functions(item, headers, own)
            code, phrase = own.get_response_status(0)
            code, phrase = user_statuses.sent(code), user_statuses.phrase(phrase)
            kind = own.get_response_content_type(0) or content_type
            kind = user_statuses.content_type(kind)
        except RequestError as error:
            return write_error(error, context, index)
        except Exception as error:
            return write_error(any_error(error), context, index)
        except BaseException as error:  # of sys.exit, and of libraries in Rust that panic
            failed = RuntimeError(f"the code raised {error!r:.300}")
            failed.__cause__ = error
            return write_error(any_error(failed), context, index)
        context.set_response_status(code, phrase, index)
        context.set_response_content_type(index, kind)
        return body

    def _context_of_one(self, context: Context, headers: dict[str, str]) -> Context:
        """Return a context as the toolkit's functions know it: of one request, at index 0."""
        properties = context.system_properties
        own = Context(
            context.model_name,
            str(self._settings.model_dir),
            context.manifest,
            1,
            properties.get("gpu_id"),
            properties.get("server_version"),
        )
        own.metrics = context.metrics
        own.request_ids = {0: headers.get(REQUEST_ID, "")}
        kind = headers.get(CONTENT_TYPE, "")
        own.request_processor = [RequestProcessor(headers | {"Content-Type": kind})]
        return own

    def _call_functions(
        self, item: dict[str, Any], headers: dict[str, str], context: Context
    ) -> tuple[bytes, str]:
        """Pass one request through the functions; return body and content type."""
        accept = headers.get(ACCEPT)
        if accept in (None, "", "*/*"):
            accept = self._settings.default_accept
        if "transform_fn" in self._user:
            given = self._given(item, headers)
            try:
                with self._arrays.without_gradients():
                    output = self._user.call("transform_fn", context, self._model, *given, accept)
            except Exception as error:
                raise transform_error(error, given[1], str(accept)) from error
            return encoded(output, str(accept))
        request: ParsedRequest | None = None
        if "input_fn" in self._user:
            data = self._call_input_fn(item, headers, context)
        else:
            # An output_fn decides itself which Accept it serves.
            ignored = {ACCEPT} if "output_fn" in self._user else set()
            prepared = self._prepare(item, {k: v for k, v in headers.items() if k not in ignored})
            if isinstance(prepared, RequestError):
                raise prepared
            request, data = prepared, self._arrays.given(prepared.pixels)
        with self._arrays.without_gradients():
            if "predict_fn" in self._user:
                prediction = self._user.call("predict_fn", context, data, self._model)
            else:
                prediction = self._predict(data)
        if "output_fn" in self._user:
            return self._call_output_fn(prediction, str(accept), context)
        logits = self._arrays.table(prediction)
        if logits is None and request and len(request.pixels) == 1:
            logits = self._arrays.row(prediction)
        request = request or self._own_request(logits, headers)
        if request and logits is not None and self._are_logits(logits, len(request.pixels)):
            outcome = self._predictions(request, logits)
            if isinstance(outcome, RequestError):
                raise outcome
            body = request.encode(outcome[1], headers.get(REQUEST_ID, ""))
            return body, request.answer_format.content_type
        return by_accept(prediction, str(accept))

    def _call_output_fn(self, prediction: Any, accept: str, context: Context) -> tuple[bytes, str]:
        try:
            output = self._user.call("output_fn", context, prediction, accept)
        except Exception as error:
            raise output_error(error, accept) from error
        return encoded(output, accept)

    def _own_request(self, logits: Floats | None, headers: dict[str, str]) -> ParsedRequest | None:
        """Return what the client asks for where input_fn read it; None if nothing has classes."""
        if not self._has_own_network or logits is None:
            return None
        options = read_options(headers.get(QUERY), headers.get(ATTRIBUTES))
        if options.explain:
            raise _NO_HEAT_MAP.without_frames()
        chosen = accepting.choose(headers.get(ACCEPT), self._settings.default_format)
        chosen.check(options)
        return ParsedRequest(logits, True, chosen, options)

    def _are_logits(self, logits: Floats, pictures: int) -> bool:
        count, classes = logits.shape
        return bool(count == pictures) and (
            (self._numbered and classes > 1) or classes == len(self._description.classes)
        )

    def _given(self, item: dict[str, Any], headers: dict[str, str]) -> tuple[bytes | str, str]:
        """Return the body and its type as the toolkit gives them: JSON and CSV as text."""
        body, kind = _body(item, headers, self._settings.max_body), headers.get(CONTENT_TYPE, "")
        if kind in content_types.UTF8_TYPES:
            with contextlib.suppress(UnicodeDecodeError):  # the user's code refuses it better
                return body.decode(), kind
        return body, kind

    def _call_input_fn(
        self, item: dict[str, Any], headers: dict[str, str], context: Context
    ) -> Any:
        given = self._given(item, headers)
        try:
            return self._user.call("input_fn", context, *given)
        except Exception as error:
            raise input_error(error) from error


def _arrays() -> Arrays:
    """Return what the functions get and return in this image."""
    if not machine.has("torch"):
        return Arrays()
    from serve.user_tensors import Tensors

    return Tensors()


def _body(item: dict[str, Any], headers: dict[str, str], most: int) -> bytes:
    return encodings.undo(headers.get(CONTENT_ENCODING), bytes(item.get("body", b"")), most)


def _numbered_classes(count: int) -> Description:
    """Describe a model of which only the number of classes is known."""
    names = tuple(map(str, range(count)))
    return Description(
        architecture="model_fn", classes=names, folders=names, transform=EvaluationTransform()
    )


_handler = CustomHandler()


def handle(data: Sequence[dict[str, Any]] | None, context: Context) -> list[bytes] | None:
    """Serve MMS: without data once at the start, then with every batch."""
    return run(_handler, data, context)

"""The model worker: what multi-model-server (MMS) calls with each batch of requests.

A TorchServe-style handler, and the module function `handle` through which MMS reaches it.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import torch
from mms.context import Context

from classifier import bundle
from serve import answers, contents, health, replies
from serve.errors import RequestError
from serve.headers import ACCEPT, CONTENT_TYPE, REQUEST_ID
from serve.predictor import Predictor, choose_device
from serve.settings import Settings

replies.install()  # without it Java drops the worker now and then
# One line of metrics for each request, which nobody reads.
logging.getLogger("mms.service").setLevel(logging.WARNING)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """A request that can be answered: float32 pixels [3, H, W] and the format asked for."""

    pixels: torch.Tensor
    answer: answers.Format


# Each request of a batch keeps its place and its own outcome through all the verbs.
Prepared = Photo | RequestError
Outcome = tuple[answers.Prediction, answers.Format] | RequestError


class Handler:
    """Pictures in, predictions out, each request with a status of its own."""

    def __init__(self) -> None:
        self._settings: Settings
        self._description: bundle.Description
        self._predictor: Predictor

    def initialize(self, context: Context) -> None:
        """Load the bundle and prove that this process gives the golden inputs their logits.

        Leaves a report for the supervisor either way.

        Raises:
            BundleError: refused, with the reason. It must reach MMS, or the worker would serve.
        """
        self._settings = Settings.from_environment()
        reports = Path(os.environ[health.DIRECTORY_VARIABLE])
        try:
            difference = self._load(context.system_properties.get("gpu_id"))
        except Exception as error:
            known = isinstance(error, ValueError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            if not known:
                log.exception("the bundle could not be loaded")
            health.report(reports, refusal=reason)
            raise
        health.report(reports, difference=difference)

    def _load(self, gpu: int | None) -> float:
        settings = self._settings
        loaded = bundle.load(settings.model_dir)
        device = choose_device(settings.device, gpu)
        self._description = loaded.description
        self._predictor = Predictor(loaded, device, settings.worker_threads)
        difference = bundle.replay(loaded, self._predictor.predict)
        if not difference <= settings.golden_tolerance:
            raise bundle.BundleError(
                f"the golden inputs of {settings.model_dir} come out {difference:.2g} away from "
                f"what training saw (at most {settings.golden_tolerance:g} is allowed) on {device}:"
                " the decoder, the transform or the network is not the one that was trained"
            )
        return difference

    def preprocess(self, data: Sequence[dict[str, Any]], context: Context) -> list[Prepared]:
        """Turn each request into pixels, or into the reason why not."""
        return [self._prepare(item, _headers(context, i)) for i, item in enumerate(data)]

    def _prepare(self, item: dict[str, Any], headers: dict[str, str]) -> Prepared:
        try:
            answer = answers.choose(headers.get(ACCEPT), self._settings.default_format)
            image = contents.read(
                headers.get(CONTENT_TYPE),
                bytes(item.get("body", b"")),
                max_pixels=self._settings.max_pixels,
            )
            return Photo(self._description.transform(image), answer)
        except RequestError as error:
            return error
        except Exception as error:
            return _failure(error)

    def inference(self, batch: Sequence[Prepared]) -> list[Outcome]:
        """Run all good pictures through the network at once."""
        photos = [item for item in batch if isinstance(item, Photo)]
        if not photos:
            return [item for item in batch if isinstance(item, RequestError)]
        try:
            rows = self._predictor.predict(torch.stack([photo.pixels for photo in photos])).tolist()
        except Exception as error:
            failed = _failure(error)
            return [item if isinstance(item, RequestError) else failed for item in batch]
        classes, temperature = self._description.classes, self._description.temperature
        logits = iter(rows)
        return [
            item
            if isinstance(item, RequestError)
            else (answers.Prediction(tuple(next(logits)), classes, temperature), item.answer)
            for item in batch
        ]

    def postprocess(self, outcomes: Sequence[Outcome], context: Context) -> list[bytes]:
        """Write each answer, and set its status and type in the context."""
        return [self._write(outcome, context, i) for i, outcome in enumerate(outcomes)]

    def _write(self, outcome: Outcome, context: Context, index: int) -> bytes:
        if not isinstance(outcome, RequestError):
            prediction, answer = outcome
            try:
                body = answer.encode(prediction)
                context.set_response_content_type(index, answer.content_type)
                return body
            except Exception as error:
                outcome = _failure(error)
        phrase = HTTPStatus(outcome.code).phrase
        context.set_response_status(outcome.code, phrase, index)
        context.set_response_content_type(index, answers.JSON)
        return outcome.body(_headers(context, index).get(REQUEST_ID, ""))

    def handle(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        """Answer a batch: as many bodies as requests, in their order. Never raises.

        Args:
            data: for each request, its bytes under `body`.
            context: MMS's, with the request headers; statuses and content types go into it.
        """
        return self.postprocess(self.inference(self.preprocess(data, context)), context)


def _headers(context: Context, index: int) -> dict[str, str]:
    headers: dict[str, str] = context.get_all_request_header(index)
    return headers


def _failure(error: Exception) -> RequestError:
    """Say that it is our fault; the log has the traceback."""
    log.error("a request failed", exc_info=error)
    return RequestError(500, "the model failed on this request", "look for it in the log")


_handler = Handler()


def handle(data: Sequence[dict[str, Any]] | None, context: Context) -> list[bytes] | None:
    """Serve MMS: without data once at the start, then with every batch."""
    if data is None:
        _handler.initialize(context)
        return None
    return _handler.handle(data, context)

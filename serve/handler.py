"""The model worker: what multi-model-server (MMS) calls with each batch of requests.

A TorchServe-style handler, and the module function `handle` through which MMS reaches it.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import torch
from mms.context import Context
from PIL import Image
from torch import nn

from classifier import bundle
from pictures.decoder import ImageError
from serve.errors import RequestError
from serve.formats import answers, contents, options, replies
from serve.formats.envelopes import Pixels
from serve.front import health, heartbeat
from serve.front.headers import ACCEPT, ATTRIBUTES, CONTENT_TYPE, QUERY, REQUEST_ID
from serve.predictor import TOLERATED, Predictor, choose_device, choose_precisions
from serve.settings import Settings

replies.install()  # without it Java drops the worker now and then
# One line of metrics for each request, which nobody reads.
logging.getLogger("mms.service").setLevel(logging.WARNING)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """A request that can be answered.

    Args:
        pixels: float32 [N, 3, H, W], of its pictures.
        several: whether the answer is a list.
        answer: the format asked for.
        wishes: what else is asked for.
    """

    pixels: torch.Tensor
    several: bool
    answer: answers.Format
    wishes: options.Wishes


# Each request of a batch keeps its place and its own outcome through all the verbs.
Prepared = Question | RequestError
Outcome = tuple[Question, list[answers.Prediction]] | RequestError


@contextlib.contextmanager
def one_first(directory: Path) -> Iterator[None]:
    """Let one worker load before the others: they share the cores, and one is enough to answer.

    A process that ends gives its turn back.
    """
    with (directory / "loading").open("w") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(turn, fcntl.LOCK_SH)  # all of the others together
        yield


class Handler:
    """Pictures in, predictions out, each request with a status of its own."""

    def __init__(self) -> None:
        self._settings: Settings
        self._device: torch.device
        self._description: bundle.Description
        self._predictor: Predictor
        self._decoders: ThreadPoolExecutor
        self._heart: heartbeat.Heart

    def initialize(self, context: Context) -> None:
        """Load the bundle and prove that this process gives the golden inputs their logits.

        Leaves a report for the supervisor either way.

        Raises:
            BundleError: refused, with the reason. It must reach MMS, or the worker would serve.
        """
        self._settings = Settings.from_environment()
        reports = Path(os.environ[health.DIRECTORY_VARIABLE])
        try:
            difference = self._load(context)
        except Exception as error:
            known = isinstance(error, ValueError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            if not known:
                log.exception("the bundle could not be loaded")
            health.report(reports, refusal=reason)
            raise
        self._heart = heartbeat.Heart(reports)
        health.report(reports, difference=difference)

    def _load(self, context: Context) -> float | None:
        """Make ready to answer; return how far the golden inputs came out."""
        self._prepare_process(context)
        with one_first(Path(os.environ[health.DIRECTORY_VARIABLE])):
            return self._open(self._settings.model_dir)

    def _prepare_process(self, context: Context) -> None:
        gpu = context.system_properties.get("gpu_id")
        self._device = choose_device(self._settings.device, gpu)
        # One thread each: together they are as many as the forward pass has.
        self._decoders = ThreadPoolExecutor(
            self._settings.layout.threads, "decode", lambda: torch.set_num_threads(1)
        )

    def _open(self, directory: Path) -> float:
        """Load a bundle, in the best precision that the golden inputs allow."""
        settings, layout, device = self._settings, self._settings.layout, self._device
        loaded = bundle.load(directory)
        self._description = loaded.description
        for precision in choose_precisions(settings.precision, device):
            self._predictor = Predictor(
                loaded, device, layout.threads, precision, layout.batch_size
            )
            difference = bundle.replay(loaded, self._in_a_full_batch)
            tolerance = settings.golden_tolerance * TOLERATED[precision]
            if difference <= tolerance:
                self._predictor.warm(loaded.description.transform.crop)
                log.info("serving in %s on %s, %s", precision, device, layout)
                return difference
            log.warning(
                "golden inputs come out %.2g away in %s on %s", difference, precision, device
            )
        raise bundle.BundleError(
            f"the golden inputs of {directory} come out {difference:.2g} away from "
            f"what training saw (at most {tolerance:g} is allowed) on {device}:"
            " the decoder, the transform or the network is not the one that was trained"
        )

    def _in_a_full_batch(self, batch: torch.Tensor) -> torch.Tensor:
        """Predict, and be warm for batches of the full size: the first of a size costs more."""
        count, most = len(batch), self._settings.layout.batch_size
        places = torch.arange(max(count, most)) % count
        return self._predictor.predict(batch[places])[:count]

    def beside(self, directory: Path) -> "Handler":
        """Return a handler of another bundle in this process, with the same settings."""
        other = Handler()
        other._settings, other._device = self._settings, self._device
        other._decoders = self._decoders
        other._open(directory)
        return other

    @property
    def network(self) -> nn.Module:
        """The network as it is run."""
        return self._predictor.network

    def preprocess(
        self, data: Sequence[dict[str, Any]], headers: Sequence[dict[str, str]]
    ) -> list[Prepared]:
        """Turn each request into pixels, or into the reason why not."""
        if len(data) == 1:
            return [self._prepare(data[0], headers[0])]
        return list(self._decoders.map(self._prepare, data, headers))

    def _prepare(self, item: dict[str, Any], headers: dict[str, str]) -> Prepared:
        try:
            answer = answers.choose(headers.get(ACCEPT), self._settings.default_format)
            content = contents.read(
                headers.get(CONTENT_TYPE),
                bytes(item.get("body", b"")),
                most=self._settings.max_pictures,
            )
            wished = options.read(headers.get(QUERY), headers.get(ATTRIBUTES), content.parameters)
            answer.check(wished)
            pixels = [
                self._pixels(picture, place if content.several else None)
                for place, picture in enumerate(content.pictures, 1)
            ]
            return Question(torch.stack(pixels), content.several, answer, wished)
        except RequestError as error:
            return error
        except Exception as error:
            return _failure(error)

    def _pixels(self, picture: bytes | Pixels, place: int | None) -> torch.Tensor:
        transform, most = self._description.transform, self._settings.max_pixels
        try:
            if isinstance(picture, bytes):
                return transform.read(picture, max_pixels=most)
            return transform(Image.fromarray(picture).convert("RGB"))
        except ImageError as error:
            raise contents.refusal(error, place) from error

    def inference(self, batch: Sequence[Prepared]) -> list[Outcome]:
        """Run all good pictures through the network together."""
        questions = [item for item in batch if isinstance(item, Question)]
        if not questions:
            return [item for item in batch if isinstance(item, RequestError)]
        try:
            rows = self._predictor.predict(torch.cat([one.pixels for one in questions]))
        except Exception as error:
            failed = _failure(error)
            return [item if isinstance(item, RequestError) else failed for item in batch]
        parts = iter(torch.split(rows, [len(one.pixels) for one in questions]))
        return [
            item if isinstance(item, RequestError) else self._conclude(item, next(parts))
            for item in batch
        ]

    def _conclude(self, question: Question, logits: torch.Tensor) -> Outcome:
        """Return the predictions of one request from its logits [N, C]."""
        about = self._description
        try:
            predictions = []
            for pixels, row in zip(question.pixels, logits.tolist(), strict=True):
                novelty = about.novelty.score(row) if about.novelty else None
                heat_map = None
                if question.wishes.explain:
                    heat_map = self._predictor.explain(pixels, row.index(max(row)))
                predictions.append(
                    answers.Prediction(
                        tuple(row), about.classes, about.temperature, novelty, heat_map
                    )
                )
            return question, predictions
        except RequestError as error:
            return error
        except Exception as error:
            return _failure(error)

    def postprocess(self, outcomes: Sequence[Outcome], context: Context) -> list[bytes]:
        """Write each answer, and set its status and type in the context."""
        return [self._write(outcome, context, i) for i, outcome in enumerate(outcomes)]

    def _write(self, outcome: Outcome, context: Context, index: int) -> bytes:
        if not isinstance(outcome, RequestError):
            question, predictions = outcome
            answer = question.answer
            try:
                body = answer.encode(predictions, question.wishes, several=question.several)
                context.set_response_content_type(index, answer.content_type)
                return body
            except Exception as error:
                outcome = _failure(error)
        phrase = HTTPStatus(outcome.code).phrase
        context.set_response_status(outcome.code, phrase, index)
        context.set_response_content_type(index, answers.JSON)
        return outcome.body(headers_of(context, index).get(REQUEST_ID, ""))

    def handle(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        """Answer a batch: as many bodies as requests, in their order. Never raises.

        Args:
            data: for each request, its bytes under `body`.
            context: MMS's, with the request headers; statuses and content types go into it.
        """
        with self._heart.busy() as work:
            bodies = self._answer(data, context)
            for place in range(len(data)):
                status = context.get_response_status(place)[0]
                work.answered += status < 400
                work.refused += 400 <= status < 500
                work.failed += status >= 500
            return bodies

    def _answer(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        outcomes = self.inference(self.preprocess(data, headers_of_all(context, len(data))))
        done = (len(one[1]) for one in outcomes if not isinstance(one, RequestError))
        self._heart.work.pictures += sum(done)
        return self.postprocess(outcomes, context)


def headers_of_all(context: Context, count: int) -> list[dict[str, str]]:
    """Return the headers of each request of a batch."""
    return [headers_of(context, place) for place in range(count)]


def headers_of(context: Context, index: int) -> dict[str, str]:
    """Return the headers of one request of a batch."""
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

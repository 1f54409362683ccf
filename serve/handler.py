"""The handler of a model worker: multi-model-server (MMS) calls it with each batch of requests.

A TorchServe-style handler, and the module function `handle`, which MMS calls.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import responses
from pathlib import Path
from typing import Any

import numpy as np
from mms.context import Context

from classifier.description import Description
from classifier.transform import Floats
from pictures.geometry import CentreCrop
from serve.decoding import Asked, MemoryGate, choose_format, is_quick, parse, read_lines
from serve.engines import choice
from serve.engines.engine import Engine
from serve.errors import RequestError, first
from serve.formats import answers, replies
from serve.formats.encodings import UnpackedTooLargeError
from serve.formats.options import Options, read_options
from serve.front import health, heartbeat
from serve.front.headers import ATTRIBUTES, COSTLY, PIXELS, QUERY, REQUEST_ID
from serve.lane import handover
from serve.lane.handover import MODEL, Decoded
from serve.settings import Settings

replies.install()  # without it Java drops the worker now and then
# It logs a line of metrics for each request, which nobody reads.
logging.getLogger("mms.service").setLevel(logging.WARNING)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParsedRequest:
    """A valid request, ready for the network.

    Args:
        pixels: float32 [N, 3, H, W], of its pictures.
        is_list: whether the answer is a list.
        answer_format: the format asked for.
        options: what else is asked for.
        line_errors: the bad lines of JSON Lines, by their index among all lines.
    """

    pixels: Floats
    is_list: bool
    answer_format: answers.Format
    options: Options
    line_errors: Mapping[int, RequestError] = field(default_factory=dict)

    def encode(self, predictions: Sequence[answers.Prediction], request_id: str) -> bytes:
        """Return the body of the answer; a bad line gets its error on a line of its own.

        Raises:
            ValueError: a logit is not a finite number.
        """
        errors = {index: one.body(request_id) for index, one in self.line_errors.items()}
        return self.answer_format.encode(
            predictions, self.options, is_list=self.is_list, errors=errors
        )


# Each request of a batch keeps its position and its own outcome through all steps.
Prepared = ParsedRequest | RequestError
Outcome = tuple[ParsedRequest, list[answers.Prediction]] | RequestError


# nginx sends the request to the lane instead; nobody sees this answer.
_COSTLY = RequestError(COSTLY, "these pictures are costly", "the lane decodes them")


@contextlib.contextmanager
def one_loads_first(directory: Path) -> Iterator[None]:
    """Let one worker load before the others: they share the cores, and one is enough to answer.

    The lock is released when its process ends.
    """
    with (directory / "loading").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)  # all the others at the same time
        yield


class Handler:
    """Pictures in, predictions out; each request has its own status."""

    def __init__(self) -> None:
        self._settings: Settings
        self._gpu: int | None
        self._description: Description
        self._engine: Engine
        self._decoders: ThreadPoolExecutor
        self._gate: MemoryGate
        self._heartbeat: heartbeat.HeartbeatWriter

    def initialize(self, context: Context) -> None:
        """Load the bundle and prove that this process reproduces the golden logits.

        It reports to the supervisor in both cases.

        Raises:
            BundleError: refused, with the reason. It must reach MMS, or the worker would serve.
        """
        self._settings = Settings.from_environment()
        reports = Path(os.environ[health.DIRECTORY_VARIABLE])
        try:
            chosen = self._load(context)
        except Exception as error:
            expected = isinstance(error, ValueError)
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            if not expected:
                log.exception("the bundle could not be loaded")
            health.report(reports, refusal=reason)
            raise
        self._heartbeat = heartbeat.HeartbeatWriter(reports)
        if chosen is None:
            health.report(reports)
            return
        engine = chosen.engine
        serving = health.Serving(engine.name, engine.precision, engine.device, chosen.why)
        health.report(reports, difference=chosen.difference, serving=serving)

    def _load(self, context: Context) -> choice.Chosen | None:
        """Prepare for requests; return the proved engine, None if the model is not the bundle's."""
        self._prepare_process(context)
        with one_loads_first(Path(os.environ[health.DIRECTORY_VARIABLE])):
            chosen = self._load_bundle(self._settings.model_dir)
        handover.announce(MODEL, self.crop)
        return chosen

    def _prepare_process(self, context: Context) -> None:
        self._gpu = context.system_properties.get("gpu_id")
        # Each decodes with one thread; together they are as many as the forward pass has.
        self._decoders = ThreadPoolExecutor(self._settings.layout.threads, "decode")
        self._gate = MemoryGate(self._settings.worker_memory)

    def _load_bundle(self, directory: Path) -> choice.Chosen:
        """Load a bundle, with the best engine and precision that the golden inputs allow."""
        chosen = choice.choose(directory, self._settings, self._gpu)
        self._description, self._engine = chosen.description, chosen.engine
        return chosen

    def with_bundle(self, directory: Path) -> "Handler":
        """Return a handler of another bundle in this process, with the same settings."""
        other = Handler()
        other._settings, other._gpu = self._settings, self._gpu
        other._decoders, other._gate = self._decoders, self._gate
        other._load_bundle(directory)
        return other

    @property
    def crop(self) -> CentreCrop:
        """What becomes of a decoded picture."""
        return self._description.transform.geometry

    @property
    def engine(self) -> Engine:
        """What computes the predictions."""
        return self._engine

    def preprocess(
        self, data: Sequence[dict[str, Any]], headers: Sequence[dict[str, str]]
    ) -> list[Prepared]:
        """Turn each request into pixels, or into the error that it gets."""
        self._gate.measure()
        if len(data) == 1:
            return [self._prepare(data[0], headers[0])]
        return list(self._decoders.map(self._prepare, data, headers))

    def _prepare(self, item: dict[str, Any], headers: dict[str, str]) -> Prepared:
        try:
            if name := headers.get(PIXELS):
                return self._from_lane(name, headers)
            body = bytes(item.get("body", b""))
            has_lane = handover.folder() is not None
            most = self._settings.max_direct_body if has_lane else self._settings.max_body
            try:
                content, asked = parse(headers, body, self._settings, most)
            except UnpackedTooLargeError:
                if most == self._settings.max_body:
                    raise
                return _COSTLY
            if has_lane and not is_quick(content, self.crop):
                return _COSTLY
            pixels, errors = read_lines(content, self.crop, self._settings, self._gate)
            if errors and not asked.answer_format.is_lines:
                raise first(errors)
            return self._parsed(Decoded(pixels, content.is_list, {}, errors), asked)
        except RequestError as error:
            return error.without_frames()
        except Exception as error:
            return internal_error(error)
        finally:
            self._heartbeat.step()

    def _from_lane(self, name: str, headers: dict[str, str]) -> ParsedRequest:
        """Return the request whose pictures the lane has decoded."""
        decoded = handover.read(name)
        options = read_options(headers.get(QUERY), headers.get(ATTRIBUTES), decoded.parameters)
        return self._parsed(decoded, Asked(options, choose_format(headers, self._settings)))

    def _parsed(self, decoded: Decoded, asked: Asked) -> ParsedRequest:
        return ParsedRequest(
            self._description.transform.normalise(decoded.pixels),
            decoded.is_list,
            asked.answer_format,
            asked.options,
            decoded.errors,
        )

    def inference(self, batch: Sequence[Prepared]) -> list[Outcome]:
        """Run all good pictures through the network together."""
        requests = [item for item in batch if isinstance(item, ParsedRequest)]
        if not requests:
            return [item for item in batch if isinstance(item, RequestError)]
        try:
            logits = self._engine.predict(np.concatenate([one.pixels for one in requests]))
        except Exception as error:
            failed = internal_error(error)
            return [item if isinstance(item, RequestError) else failed for item in batch]
        ends = np.cumsum([len(one.pixels) for one in requests])
        parts = iter(np.split(logits, ends[:-1]))
        return [
            item if isinstance(item, RequestError) else self._predictions(item, next(parts))
            for item in batch
        ]

    def _predictions(self, request: ParsedRequest, logits: Floats) -> Outcome:
        """Return the predictions of one request from its logits [N, C]."""
        description = self._description
        try:
            predictions = []
            for pixels, row in zip(request.pixels, logits.tolist(), strict=True):
                novelty = description.novelty.score(row) if description.novelty else None
                heat_map = None
                if request.options.explain:
                    heat_map = self._engine.explain(pixels, row.index(max(row)))
                predictions.append(
                    answers.Prediction(
                        tuple(row),
                        description.classes,
                        description.temperature,
                        novelty,
                        heat_map,
                        description.transform.crop / description.transform.resize,
                    )
                )
            return request, predictions
        except RequestError as error:
            return error.without_frames()
        except Exception as error:
            return internal_error(error)

    def postprocess(self, outcomes: Sequence[Outcome], context: Context) -> list[bytes]:
        """Write each answer, and set its status and type in the context."""
        return [self._write(outcome, context, i) for i, outcome in enumerate(outcomes)]

    def _write(self, outcome: Outcome, context: Context, index: int) -> bytes:
        if not isinstance(outcome, RequestError):
            request, predictions = outcome
            try:
                body = request.encode(predictions, headers_of(context, index).get(REQUEST_ID, ""))
                context.set_response_content_type(index, request.answer_format.content_type)
                return body
            except Exception as error:
                outcome = internal_error(error)
        return write_error(outcome, context, index)

    def handle(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        """Answer a batch: one body for each request, in order. Never raises.

        Args:
            data: for each request, its bytes under `body`.
            context: MMS's, with the request headers; gets the statuses and content types.
        """
        with self._heartbeat.busy() as work:
            bodies = self._answer(data, context)
            for index in range(len(data)):
                status = context.get_response_status(index)[0]
                if status == COSTLY:  # it comes again, by way of the lane
                    continue
                work.answered += status < 400
                work.refused += 400 <= status < 500
                work.failed += status >= 500
            return bodies

    def _answer(self, data: Sequence[dict[str, Any]], context: Context) -> list[bytes]:
        headers = [headers_of(context, index) for index in range(len(data))]
        outcomes = self.inference(self.preprocess(data, headers))
        self._count_pictures(outcomes)
        return self.postprocess(outcomes, context)

    def _count_pictures(self, outcomes: Sequence[Outcome]) -> None:
        done = (len(one[1]) for one in outcomes if not isinstance(one, RequestError))
        self._heartbeat.work.pictures += sum(done)


def headers_of(context: Context, index: int) -> dict[str, str]:
    """Return the headers of one request of a batch."""
    headers: dict[str, str] = context.get_all_request_header(index)
    return headers


def write_error(error: RequestError, context: Context, index: int) -> bytes:
    """Return the body of an error, and set its status and type in the context."""
    context.set_response_status(error.code, responses.get(error.code, ""), index)
    context.set_response_content_type(index, answers.JSON)
    return error.body(headers_of(context, index).get(REQUEST_ID, ""))


def internal_error(error: Exception, where: str = "a request failed") -> RequestError:
    """Return the 500 of a failed request, and log the traceback."""
    log.error(where, exc_info=error)
    return RequestError(500, "the model failed on this request", "find its request id in the log")


_handler = Handler()


def handle(data: Sequence[dict[str, Any]] | None, context: Context) -> list[bytes] | None:
    """Serve MMS: without data once at the start, then with every batch."""
    return run(_handler, data, context)


def run(
    handler: Handler, data: Sequence[dict[str, Any]] | None, context: Context
) -> list[bytes] | None:
    """Do what MMS calls for: initialize `handler` without data, else answer a batch."""
    if data is None:
        handler.initialize(context)
        return None
    return handler.handle(data, context)

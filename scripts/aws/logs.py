"""The log of a job or an endpoint in CloudWatch, read as it grows, all hosts together."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.aws.client import Aws, AwsProblem
from scripts.requests import running

TRAINING = "/aws/sagemaker/TrainingJobs"
TRANSFORM = "/aws/sagemaker/TransformJobs"
ENDPOINTS = "/aws/sagemaker/Endpoints"
LAST = 20


@dataclass(frozen=True)
class Line:
    """One line; `host` is `algo-1` and so on."""

    host: str
    text: str


class Log:
    """Reads on from where the last call ended; `last` keeps the end of it for a failure."""

    def __init__(self, aws: Aws, group: str, prefix: str) -> None:
        self._aws = aws
        self._group = group
        self._prefix = prefix
        self._tokens: dict[str, str] = {}
        self.last: deque[str] = deque(maxlen=LAST)

    def new(self) -> Iterator[Line]:
        """Yield the lines that came since the last call; none while there is no log yet."""
        try:
            streams = sorted(self._streams())
        except AwsProblem as problem:
            if problem.missing:
                return
            raise
        for stream in streams:
            for text in self._events(stream):
                self.last.append(text)
                yield Line(_host(stream), text)

    def _streams(self) -> Iterator[str]:
        request = running.log_streams(self._group, self._prefix)
        while True:
            answer = self._aws.send(request)
            yield from (one["logStreamName"] for one in answer.get("logStreams", []))
            if not answer.get("nextToken"):
                return
            request.parameters["nextToken"] = answer["nextToken"]

    def _events(self, stream: str) -> Iterator[str]:
        # CloudWatch has no end-of-log: a token that repeats says there is no more for now.
        while True:
            token = self._tokens.get(stream)
            answer = self._aws.send(running.log_events(self._group, stream, token))
            for event in answer["events"]:
                yield event["message"].rstrip("\n")
            following = answer["nextForwardToken"]
            self._tokens[stream] = following
            if following == token:
                return


def _host(stream: str) -> str:
    """`algo-1` of `job/algo-1-1690000000`; the whole last part of anything else."""
    name = stream.rpartition("/")[2]
    parts = name.split("-")
    return "-".join(parts[:2]) if len(parts) > 2 else name

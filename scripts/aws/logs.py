"""The log of a job or an endpoint in CloudWatch: all hosts, read while it grows."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.aws.client import Aws, AwsProblem
from scripts.requests import jobs

TRAINING = "/aws/sagemaker/TrainingJobs"
TRANSFORM = "/aws/sagemaker/TransformJobs"
ENDPOINTS = "/aws/sagemaker/Endpoints"
# The lines that are shown again when a job fails.
LAST = 20
# What ends a line; the terminal's output leaves out a lone carriage return.
_BREAKS = re.compile("\r?\n|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True)
class Line:
    """One line of a host such as `algo-1`."""

    host: str
    text: str


class Log:
    """Reads from where the last call stopped; `last` holds the last lines."""

    def __init__(self, aws: Aws, group: str, prefix: str) -> None:
        self._aws = aws
        self._group = group
        self._prefix = prefix
        self._tokens: dict[str, str] = {}
        self.last: deque[str] = deque(maxlen=LAST)

    def new_lines(self) -> Iterator[Line]:
        """Yield the lines since the last call; nothing if there is no log yet."""
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

    def read_to_end(self) -> deque[str]:
        """Read what there is; return the last lines."""
        for _ in self.new_lines():
            pass
        return self.last

    def _streams(self) -> Iterator[str]:
        request = jobs.log_streams(self._group, self._prefix)
        while True:
            answer = self._aws.send(request)
            yield from (one["logStreamName"] for one in answer.get("logStreams", []))
            if not answer.get("nextToken"):
                return
            request.parameters["nextToken"] = answer["nextToken"]

    def _events(self, stream: str) -> Iterator[str]:
        # At the end of the log, for now, CloudWatch returns the same token again.
        while True:
            token = self._tokens.get(stream)
            answer = self._aws.send(jobs.log_events(self._group, stream, token))
            for event in answer["events"]:
                # One event is one line: a program could write what looks like another's.
                yield _BREAKS.sub(_escaped, event["message"].rstrip("\r\n"))
            next_token = answer["nextForwardToken"]
            self._tokens[stream] = next_token
            if next_token == token:
                return


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _host(stream: str) -> str:
    """Return `algo-1` for `job/algo-1-1690000000`; the whole last part for other names."""
    name = stream.rpartition("/")[2]
    parts = name.split("-")
    return "-".join(parts[:2]) if len(parts) > 2 else name

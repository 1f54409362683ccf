"""An event of CloudWatch prints as one line, whatever is in it."""

import time
import uuid

import boto3  # type: ignore[import-untyped]
import pytest

from scripts.aws.client import Aws
from scripts.aws.logs import Log
from scripts.console.safe import without_escapes
from tests.scripts.conftest import REGION

EVENTS = {
    "plain": "plain",
    "ends\n": "ends",
    "tab\tstays": "tab\tstays",
    "one\nalgo-2 | two": "one\\nalgo-2 | two",
    "one\r\ntwo": "one\\r\\ntwo",
    "progress\r100%": "progress\r100%",
    "page\x0c\x0b": "page\\x0c\\x0b",
    "unicode\u2028\x85": "unicode\\u2028\\x85",
}


@pytest.mark.parametrize("message", EVENTS)
def test_an_event_is_one_line(moto: str, message: str) -> None:
    group = f"group-{uuid.uuid4()}"
    client = boto3.client("logs", region_name=REGION)
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName="job/algo-1-1")
    event = {"timestamp": int(time.time() * 1000), "message": message}
    client.put_log_events(logGroupName=group, logStreamName="job/algo-1-1", logEvents=[event])
    (line,) = Log(Aws(REGION), group, "job/").new_lines()
    assert (line.host, line.text) == ("algo-1", EVENTS[message])
    assert without_escapes(line.text).splitlines() == [without_escapes(line.text)]

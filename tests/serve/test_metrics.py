import json

from serve.front import metrics
from serve.front.heartbeat import Work
from serve.front.metrics import Snapshot

BEFORE = Snapshot(Work(batches=2, answered=10, pictures=10, seconds=1.0), 1, 0, 1000, True)
AFTER = Snapshot(Work(batches=5, answered=30, pictures=31, seconds=2.5), 2, 1, 2000, True)


def test_each_prometheus_metric_has_help_type_and_value() -> None:
    lines = metrics.prometheus(AFTER).splitlines()
    assert len(lines) == 3 * 10
    assert "# TYPE kennel_answered_total counter" in lines
    assert "kennel_answered_total 30" in lines
    assert "kennel_seconds_total 2.5" in lines
    assert "kennel_healthy 1" in lines


def test_the_cloudwatch_line_has_the_work_between_two_moments() -> None:
    line = json.loads(metrics.embedded(BEFORE, AFTER))
    assert (line["answered"], line["seconds"], line["workers"]) == (20, 1.5, 2)
    (about,) = line["_aws"]["CloudWatchMetrics"]
    assert {one["Name"] for one in about["Metrics"]} == set(line) - {"_aws"}
    assert about["Namespace"] == "Kennel"
    assert line["_aws"]["Timestamp"] > 1e12

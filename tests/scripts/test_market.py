"""Prices and quotas, from a local server that answers in AWS's format."""

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import spec
from scripts.aws import prices, quotas
from tests.scripts import experiments
from tests.scripts.kennel import kennel


def product(usage: str, dollars: str) -> str:
    """An entry of GetProducts' PriceList: JSON within JSON."""
    price = {"unit": "Hrs", "pricePerUnit": {"USD": dollars}}
    return json.dumps(
        {
            "product": {
                "productFamily": "ML Instance",
                "attributes": {"regionCode": "eu-west-1", "usagetype": usage},
            },
            "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": {"SKU.TERM.RATE": price}}}},
        }
    )


# By the operation's name and the page's token.
ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("GetProducts", ""): {
        "FormatVersion": "aws_v1",
        "PriceList": [
            product("EU-Train:ml.m5.large", "0.128"),
            product("EU-Host:ml.m5.large", "0.1290000000"),
            product("EU-Notebk:ml.m5.large", "9"),
        ],
        "NextToken": "2",
    },
    ("GetProducts", "2"): {
        "FormatVersion": "aws_v1",
        "PriceList": [product("EU-Train:ml.g5.xlarge", "1.5713")],
    },
    ("ListServiceQuotas", ""): {
        "Quotas": [{"QuotaName": "ml.g5.xlarge for training job usage", "Value": 1.0}],
        "NextToken": "2",
    },
    ("ListServiceQuotas", "2"): {
        "Quotas": [{"QuotaName": "ml.c5.xlarge for endpoint usage", "Value": 4.0}],
    },
}


class Aws(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        body = json.dumps(ANSWERS[operation, asked.get("NextToken", "")]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def market(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto as AWS; pricing and quotas, which it lacks, come from our server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Aws)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    for service in ("PRICING", "SERVICE_QUOTAS"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", address)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def test_refreshed_prices_have_their_date(market: None, tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    day = datetime.now(UTC).date()
    done = kennel("prices", "--refresh", "--region", "eu-west-1", "--out", str(table))
    assert done.code == 0, done.err
    assert done.err == f"{table}: 2 instance types of eu-west-1\n"
    found = prices.read(table)
    assert found.hourly == {"ml.g5.xlarge": 1.5713, "ml.m5.large": 0.129}
    assert found.region == "eu-west-1"
    assert day <= found.collected <= datetime.now(UTC).date()
    assert prices.to_toml(found) == table.read_text()


def test_the_table_is_printed_with_its_date() -> None:
    done = kennel("prices")
    assert "ml.g5.xlarge" in done.out
    assert prices.label() in done.err
    elsewhere = kennel("prices", "--region", "eu-west-1")
    assert elsewhere.code == 1
    assert "kennel prices --refresh" in elsewhere.err


def test_doctor_names_the_quota_that_is_too_small(market: None) -> None:
    dogs = Path(__file__).parents[2] / "experiments" / "dogs.toml"
    done = kennel("doctor", str(dogs))
    assert "FAIL quota ml.g5.xlarge for training job usage: 1, 3 needed" in done.out
    assert "ask for 3: Service Quotas > Amazon SageMaker" in done.out
    assert "ok   quota ml.c5.xlarge for endpoint usage: 4, 1 needed" in done.out


@pytest.mark.parametrize(
    ("kind", "quota"),
    [
        ("realtime", {"ml.g5.xlarge for endpoint usage": 4}),
        ("transform", {"ml.m5.xlarge for transform job usage": 2}),
        ("serverless", {}),
    ],
)
def test_the_instances_that_an_experiment_needs_at_once(kind: str, quota: dict[str, int]) -> None:
    experiment = spec.check(experiments.fullest(kind), "test")
    needed = quotas.for_training(experiment) | quotas.for_endpoint(experiment)
    assert needed == {"ml.m5.xlarge for spot training job usage": 4} | quota
    pool = {"instance_type": "ml.m5.xlarge", "keep_alive_seconds": 600}
    needed = quotas.for_training(spec.check(experiments.smallest(training=pool), "test"))
    assert needed == {
        "ml.m5.xlarge for training job usage": 1,
        "ml.m5.xlarge for training warm pool usage": 1,
    }


def test_a_build_without_docker_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    commands = "sh bash sed dirname mktemp rm env git".split()
    for command in commands:
        found = next(
            Path(folder) / command
            for folder in os.environ["PATH"].split(":")
            if (Path(folder) / command).exists()
        )
        (tmp_path / command).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER", raising=False)
    assert kennel("build", "train").code == 1
    assert "No usable Docker: start the engine (dockerd)" in capfd.readouterr().err

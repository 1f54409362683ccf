"""The configuration of nginx follows the settings."""

import json
import re
import resource
from pathlib import Path

import pytest

from serve.front import model_server
from serve.front.nginx import configuration
from serve.settings import Settings

RUN = Path("/tmp/kennel-x")  # noqa: S108


def settings(**given: object) -> Settings:
    return Settings.from_environment({name: str(value) for name, value in given.items()})


def text(**given: object) -> str:
    return configuration(settings(**given), RUN, 21_000)


@pytest.mark.parametrize("workers", [1, 8, 60])
@pytest.mark.parametrize("payload", [1, 6, 25, 90, 100, 101, 1024])
def test_transforms_stay_within_sagemakers_100_mb_in_flight(workers: int, payload: int) -> None:
    given = {
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": payload,
        "SAGEMAKER_MODEL_SERVER_WORKERS": workers,
        "KENNEL_BATCH_SIZE": 8,
    }
    found = re.search(r"return 200 '(\{.*MaxPayloadInMB.*\})'", text(**given))
    assert found
    fields = json.loads(found[1])
    assert 1 <= fields["MaxConcurrentTransforms"] <= 8 * workers
    assert fields["MaxConcurrentTransforms"] * fields["MaxPayloadInMB"] <= 100
    assert fields["MaxPayloadInMB"] == min(payload, 100)


@pytest.mark.parametrize(
    ("address", "listen"),
    [
        ("0.0.0.0", "0.0.0.0:8080"),  # noqa: S104
        ("127.0.0.1", "127.0.0.1:8080"),
        ("::", "[::]:8080 ipv6only=off"),
        ("::1", "[::1]:8080"),
    ],
)
def test_an_unspecified_ipv6_address_is_of_both_families(address: str, listen: str) -> None:
    assert f"listen {listen} backlog" in text(KENNEL_BIND_ADDRESS=address)


@pytest.mark.parametrize("payload", [6, 25, 1024])
def test_large_bodies_go_around_java(payload: int) -> None:
    given = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": payload}
    large = re.search(r"map (\S+|\".*\") \$kennel_large \{ (.*) \}", text(**given))
    assert large
    assert ('"~:[0-9]{8,}$" 1' in large[2]) == (payload > 9)
    sizes = re.findall(r"max_request_size=(\d+)", _properties(**given))
    assert int(sizes[-1]) <= 10_001_024
    assert model_server.heap_mb(settings(**given)) <= 192 + 100 * 10


def test_user_code_reads_its_bodies_itself() -> None:
    given = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": 25, "KENNEL_CODE": "code"}
    assert "map $content_length $kennel_large { default 0; }" in text(**given)
    assert str(25 * 2**20 + 1024) in _properties(**given)


def test_the_files_that_nginx_can_open_bound_its_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert "worker_connections 2048;" in text()
    assert "worker_rlimit_nofile 4096;" in text()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    assert "worker_connections 8192;" in text()


def _properties(**given: object) -> str:
    return model_server.configuration(settings(**given), 21_000, 21_001)

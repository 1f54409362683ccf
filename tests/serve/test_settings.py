import tempfile
from pathlib import Path

import pytest

from serve import machine
from serve.settings import Settings, SettingsError


def test_the_defaults_are_what_sagemaker_expects() -> None:
    settings = Settings.from_environment({})
    assert settings.port == 8080
    assert settings.model_dir == Path("/opt/ml/model")
    assert settings.max_body == 6 * 1024 * 1024
    assert settings.default_format.accept == "application/json"


def test_sagemakers_variables_are_read() -> None:
    settings = Settings.from_environment(
        {
            "SAGEMAKER_BIND_TO_PORT": "9001",
            "SAGEMAKER_BASE_DIR": "/somewhere",
            "SAGEMAKER_MODEL_SERVER_WORKERS": "3",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20",
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json;verbose",
            "KENNEL_THREADS": "",
        }
    )
    assert (settings.port, settings.layout.workers, settings.max_payload_mb) == (9001, 3, 20)
    assert settings.model_dir == Path("/somewhere/model")
    assert settings.default_format.accept == "application/json;verbose"
    assert settings.threads is None


def test_all_problems_are_reported_together_with_their_variables() -> None:
    with pytest.raises(SettingsError) as problems:
        Settings.from_environment(
            {
                "SAGEMAKER_BIND_TO_PORT": "eighty",
                "KENNEL_BATCH_SIZE": "0",
                "KENNEL_DEVICE": "tpu",
                "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/html",
                "SAGEMAKER_MULTI_MODEL": "some",
                "KENNEL_RUN_DIR": "/tmp/" + "x" * 80,  # noqa: S108
            }
        )
    lines = str(problems.value).splitlines()
    assert [line.partition("=")[0] for line in lines] == [
        "SAGEMAKER_BIND_TO_PORT",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
        "SAGEMAKER_MULTI_MODEL",
        "KENNEL_RUN_DIR",
        "KENNEL_BATCH_SIZE",
        "KENNEL_DEVICE",
    ]
    assert "eighty" in lines[0]
    assert "application/json;verbose" in lines[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KENNEL_GOLDEN_TOLERANCE", "inf"),
        ("KENNEL_GOLDEN_TOLERANCE", "nan"),
        ("KENNEL_GOLDEN_TOLERANCE", "0.02"),
        ("KENNEL_THREADS", "100000"),
        ("KENNEL_QUEUE_SIZE", "1000000"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "1000"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "86400"),
    ],
)
def test_a_value_that_would_switch_a_check_off_or_fill_the_machine_is_refused(
    name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name}={value}: Input should be less than"):
        Settings.from_environment({name: value})


def test_settings_override_what_is_chosen_for_the_machine() -> None:
    given = {"KENNEL_THREADS": "7", "KENNEL_BATCH_SIZE": "3", "SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    assert Settings.from_environment(given).layout == machine.Layout(2, 7, 3)
    one, many = (
        Settings.from_environment(
            {"SAGEMAKER_MODEL_SERVER_WORKERS": str(count), "KENNEL_DEVICE": "cpu"}
        )
        for count in (1, 256)
    )
    assert one.layout.threads == machine.cores()
    assert many.layout.threads == 1


def test_the_run_directory_must_exist() -> None:
    with tempfile.TemporaryDirectory() as short:  # pytest's own are too long for sockets
        assert Settings.from_environment({"KENNEL_RUN_DIR": short}).run_dir == Path(short)
        with pytest.raises(SettingsError, match=r"^KENNEL_RUN_DIR=\S+: not a writable directory"):
            Settings.from_environment({"KENNEL_RUN_DIR": f"{short}/none"})


def test_multi_model_mode_has_one_worker_and_no_user_code() -> None:
    given = {"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_MODEL_SERVER_WORKERS": "4"}
    assert Settings.from_environment(given).layout.workers == 1
    with pytest.raises(SettingsError, match="KENNEL_CODE and SAGEMAKER_MULTI_MODEL exclude"):
        Settings.from_environment({"SAGEMAKER_MULTI_MODEL": "true", "KENNEL_CODE": "mine"})

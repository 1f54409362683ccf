"""Environment variables that set nothing are named when the server starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve.front.variables import passed_over
from serve.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("KENNEL_PRECISON", "KENNEL_PRECISION"),
        ("KENNEL_BATCHSIZE", "KENNEL_BATCH_SIZE"),
        ("KENNEL_CODES", "KENNEL_CODE"),
        ("KENNEL_MAX_BATCH_DELAY", "KENNEL_MAX_BATCH_DELAY_MS"),
    ],
)
def test_a_typing_error_is_refused_with_the_right_name(wrong: str, right: str) -> None:
    with pytest.raises(SettingsError, match=f"^{wrong} is no setting: do you mean {right}[?]"):
        list(passed_over({wrong: "1", "KENNEL_CODE": "x.py"}))


def test_other_names_are_passed_over_and_named() -> None:
    given = {
        "KENNEL_PROCESSES": "2",  # of training
        "KENNEL_PRECISION": "fp32",
        "SAGEMAKER_TS_BATCH_SIZE": "8",
        "TS_MAX_REQUEST_SIZE": "100000000",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        "HOME": "/root",
    }
    lines = list(passed_over(given))
    assert [line.partition(" ")[0] for line in lines] == [
        "KENNEL_PROCESSES",
        "SAGEMAKER_CONTAINER_LOG_LEVEL",
        "SAGEMAKER_TS_BATCH_SIZE",
        "TS_MAX_REQUEST_SIZE",
    ]
    assert lines[2].endswith("set KENNEL_BATCH_SIZE instead")
    assert lines[3].endswith("set SAGEMAKER_MAX_PAYLOAD_IN_MB instead")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 240),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "5"}, 300),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "3600"}, 3600),
        (
            {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "5", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "20"},
            20,
        ),
    ],
)
def test_the_toolkits_timeout_is_in_minutes(given: dict[str, str], seconds: int) -> None:
    assert Settings.from_environment(given).timeout_s == seconds


def test_the_server_ends_at_once_and_says_so(tmp_path: Path) -> None:
    wrong = {"KENNEL_PRECISON": "int8", "SAGEMAKER_BASE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "serve.entry"],
        env=os.environ | wrong,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "KENNEL_PRECISON is no setting: do you mean KENNEL_PRECISION?" in done.stderr

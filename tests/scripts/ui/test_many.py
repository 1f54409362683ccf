"""A thousand jobs, and an account of AWS: moto's server stands in for it."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from playwright.sync_api import Browser, expect

from tests.scripts.conftest import REGION
from tests.scripts.ui.conftest import PATIENT_MS, run_ui, visit
from tests.scripts.ui.seeds import definition

pytestmark = pytest.mark.slow

_JOBS = 1_000
# Seconds from the address to the rows. Source: issue 18.
_FIRST_PAINT_S = 2.0


def test_a_thousand_jobs_are_painted_within_two_seconds(
    chromium: Browser, moto: str, tmp_path: Path
) -> None:
    sagemaker = boto3.client("sagemaker", region_name=REGION)

    def create(number: int) -> None:
        sagemaker.create_training_job(TrainingJobName=f"job-{number:04}", **definition())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(_JOBS)))
    key = os.environ["AWS_ACCESS_KEY_ID"]
    with run_ui(moto, tmp_path, key) as address, visit(chromium, address) as seen:
        page = seen.page
        expect(page.locator("header .target")).to_contain_text("Account 123456789012 in")
        # The first visit also loads the framework's files; a person waits for each.
        took = []
        for _ in range(5):
            since = time.monotonic()
            page.goto(f"{seen.base}/")
            page.locator("tbody tr").nth(24).wait_for(timeout=PATIENT_MS)
            took.append(time.monotonic() - since)
        assert page.locator("tbody tr").count() == 25
        print("seconds to the rows:", [round(one, 2) for one in took])
        assert sorted(took)[2] < _FIRST_PAINT_S, took
        first = page.locator("tbody tr").first.inner_text()
        page.get_by_role("button", name="Older").click()
        expect(page.get_by_text("page 2")).to_be_visible(timeout=PATIENT_MS)
        assert page.locator("tbody tr").first.inner_text() != first

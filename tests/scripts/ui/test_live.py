"""`kennel ui` while things happen: curves that grow, a job that is stopped, an endpoint's end."""

import re
import time
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.emulator.client import Emulator
from tests.emulator.hosting import deploy
from tests.scripts.ui import seeds
from tests.scripts.ui.conftest import LIVE_MS, PATIENT_MS, Visit, run_ui, visit

pytestmark = pytest.mark.slow


def epochs(page: Page) -> int:
    """How many epochs the chart of the accuracy has, as it is drawn."""
    script = """() => {
      const found = [...document.querySelectorAll(".chart")].find(
        (one) => one.getAttribute("aria-label") === "Chart: accuracy");
      return found?.dataset.points ?? "0";
    }"""
    return int(page.evaluate(script))


def test_a_curve_grows_within_two_seconds_of_the_log(jobs: Emulator, seen: Visit) -> None:
    seeds.train(jobs, "growing", epochs=5, pause=1.5)
    page = seen.open("/jobs/growing")
    expect(page.get_by_role("img", name="Chart: accuracy")).to_be_visible(timeout=PATIENT_MS)
    late: list[float] = []
    drawn: list[int] = []
    while jobs.job("growing")["TrainingJobStatus"] == "InProgress" and len(drawn) < 4:
        logged = sum("validation:accuracy" in line for line in jobs.lines("growing"))
        if logged == (drawn[-1] if drawn else 0):
            page.wait_for_timeout(30)
            continue
        since = time.monotonic()
        while epochs(page) < logged:
            page.wait_for_timeout(30)
            assert time.monotonic() - since < PATIENT_MS / 1000
        late.append(time.monotonic() - since)
        drawn.append(logged)
    assert drawn == sorted(set(drawn))
    assert len(drawn) >= 3
    assert sorted(late)[len(late) // 2] < LIVE_MS / 1000, late
    expect(page.get_by_role("status").first).to_have_text("Completed", timeout=PATIENT_MS)
    assert epochs(page) == 5


def test_a_job_is_stopped_after_a_question(jobs: Emulator, seen: Visit) -> None:
    seeds.train(jobs, "endless", epochs=1000, pause=0.5)
    page = seen.open("/jobs/endless")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert jobs.job("endless")["TrainingJobStatus"] == "InProgress"
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop the job").click()
    expect(page.get_by_role("status").first).to_have_text(
        re.compile("Stopping|Stopped"), timeout=PATIENT_MS
    )
    assert jobs.ended("endless")["TrainingJobStatus"] == "Stopped"
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_hidden(timeout=PATIENT_MS)


def test_no_state_is_changed_by_get(jobs: Emulator, seen: Visit) -> None:
    seeds.train(jobs, "untouched", epochs=1000, pause=0.5)
    for path in ("/jobs/untouched", "/jobs/untouched?stop=1", "/jobs/untouched/stop", "/endpoints"):
        seen.page.request.get(seen.base + path)
    assert jobs.job("untouched")["TrainingJobStatus"] == "InProgress"
    jobs.sagemaker.stop_training_job(TrainingJobName="untouched")


def test_the_list_of_jobs_follows(jobs: Emulator, seen: Visit) -> None:
    page = seen.open("/")
    seeds.train(jobs, "new-one", epochs=2)
    row = page.locator("tr", has_text="new-one")
    expect(row).to_contain_text("Completed", timeout=PATIENT_MS)
    expect(row).to_contain_text("validation:accuracy")


def test_down_deletes_the_endpoint_after_a_question(jobs: Emulator, seen: Visit) -> None:
    deploy(jobs, "leaving")
    page = seen.open("/endpoints")
    row = page.locator("tr", has_text="leaving")
    expect(row).to_contain_text("InService", timeout=PATIENT_MS)
    expect(row).to_contain_text("1 x ml.m5.large")
    expect(row).to_contain_text("$0.12")
    page.get_by_role("button", name="Down: leaving").click()
    page.get_by_role("button", name="Delete the endpoint").click()
    expect(row).to_have_count(0, timeout=PATIENT_MS)
    left = jobs.sagemaker.list_endpoints(NameContains="leaving")["Endpoints"]
    assert left == []
    # The endpoint is gone first, then its config and its model.
    jobs.wait_until(lambda: not jobs.sagemaker.list_models(NameContains="leaving")["Models"])


def test_the_page_says_when_the_emulator_is_gone(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    emulator = Emulator(tmp_path_factory.mktemp("gone") / "state", {}).start()
    with ExitStack() as last:
        end = last.enter_context(ExitStack())
        end.callback(emulator.end)
        address = last.enter_context(run_ui(emulator.url, tmp_path_factory.mktemp("gone-log")))
        seen = last.enter_context(visit(chromium, address))
        seen.open("/")
        end.close()
        alert = seen.page.get_by_role("alert").first
        expect(alert).to_contain_text("nothing answers at", timeout=PATIENT_MS)

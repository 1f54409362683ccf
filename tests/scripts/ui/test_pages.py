"""Each page of `kennel ui` in Chromium, with ended jobs of an emulator: what it shows and saves."""

import csv
import io
import re
import tarfile
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, expect

from tests.debugger.recorded import Made
from tests.emulator.client import BUCKET, Emulator
from tests.emulator.hosting import predict
from tests.scripts.ui import seeds
from tests.scripts.ui.conftest import PATIENT_MS, Visit, visit

pytestmark = pytest.mark.slow

PAGES = (
    "/",
    "/jobs/plain-one",
    "/jobs/broken",
    "/compare?jobs=plain-one,plain-two",
    "/tuning",
    "/tuning/tuned",
    "/tuning/swept",
    "/endpoints",
)
SMALL = Made(steps=60, epochs=2, slow_every=20, layers=3, tensors_every=30, classes=("a", "b"))
expect.set_options(timeout=PATIENT_MS)


@pytest.fixture(scope="module", autouse=True)
def _seeded(jobs: Emulator) -> None:
    seeds.all_kinds(jobs)


def saved(page: Page, button: str) -> bytes:
    """Press a button that saves a file; its content."""
    with page.expect_download(timeout=PATIENT_MS) as download:
        page.get_by_role("button", name=button, exact=True).click()
    return Path(download.value.path()).read_bytes()


def rows(page: Page, region: str) -> list[str]:
    """The text of each row of a table."""
    table = page.get_by_role("region", name=region, exact=True)
    expect(table.locator("tbody tr").first).to_be_visible()
    return [
        " | ".join(row.locator("td").all_inner_texts()) for row in table.locator("tbody tr").all()
    ]


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_no_page_complains_leaves_the_machine_is_too_wide_or_has_barriers(
    chromium: Browser, address: str, width: int, scheme: str
) -> None:
    with visit(chromium, address, width, scheme) as seen:
        for path in PAGES:
            page = seen.open(path)
            expect(page.locator("header .target")).to_contain_text("EMULATOR at http://127.0.0.1:")
            page.wait_for_timeout(700)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            found = Axe().run(page).response["violations"]
            assert [(path, one["id"], one["nodes"][0]["html"]) for one in found] == []
        assert any("/_nicegui_ws/" in one for one in seen.requests)


def test_jobs_are_listed_newest_first_filtered_and_saved(seen: Visit) -> None:
    page = seen.open("/")
    listed = rows(page, "Jobs")
    assert any("plain-one | training | Completed" in row and "$0.0" in row for row in listed)
    assert any(
        "tuned | tuning | Completed" in row and "validation:accuracy" in row for row in listed
    )
    assert any("swept | sweep" in row for row in listed)
    table = list(csv.reader(io.StringIO(saved(page, "Save as CSV: Jobs").decode())))
    assert table[0][:3] == ["job", "kind", "state"]
    page.get_by_label("Name contains").fill("plain")
    expect(page.get_by_role("region", name="Jobs").locator("tbody tr")).to_have_count(2)
    page.get_by_label("Name contains").fill("no such/name")
    expect(page.get_by_role("alert").first).to_contain_text("letters, digits and hyphens")


def test_a_column_sorts_by_keyboard(seen: Visit) -> None:
    page = seen.open("/tuning/tuned")
    header = page.get_by_role("columnheader", name="learning_rate")
    rows(page, "Trials of tuned")
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "ascending")
    rates = [float(row.split(" | ")[1]) for row in rows(page, "Trials of tuned")]
    assert rates == sorted(rates)
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "descending")


def test_a_job_has_states_curves_hyperparameters_and_log(seen: Visit) -> None:
    page = seen.open("/jobs/plain-one")
    expect(page.get_by_role("status").first).to_have_text("Completed")
    expect(page.get_by_role("img", name="Chart: accuracy")).to_be_visible()
    assert "Completed" in rows(page, "States of plain-one")[-1]
    assert "learning_rate | 0.01" in rows(page, "Hyperparameters of plain-one")
    expect(page.locator("pre.log")).to_contain_text("[metric] train:loss=")
    points = list(csv.reader(io.StringIO(saved(page, "Save as CSV: loss").decode())))
    assert points[1:] == [["train:loss", str(n), f"{2 / n + 0.01:.6g}"] for n in range(1, 5)]
    assert saved(page, "Save as PNG: accuracy").startswith(b"\x89PNG")


def test_names_logs_reasons_and_hyperparameters_are_text(seen: Visit) -> None:
    page = seen.open("/jobs/plain-one")
    expect(page.locator("pre.log")).to_contain_text(seeds.LOUD)
    assert f"note | {seeds.LOUD}" in rows(page, "Hyperparameters of plain-one")
    assert "\x1b" not in page.locator("pre.log").inner_text()
    page = seen.open("/jobs/broken")
    expect(page.locator("dl.facts")).to_contain_text(seeds.LOUD)
    expect(page.locator("dl.facts")).to_contain_text("kennel data check")
    page = seen.open("/compare?jobs=plain-one,plain-two")
    assert any(seeds.LOUD in row for row in rows(page, "What differs between the jobs"))
    assert page.locator("img[src=x]").count() == 0


def test_an_address_from_outside_is_text_and_no_job(seen: Visit) -> None:
    for path in ("/jobs/%3Cimg%20src=x%20onerror=alert(1)%3E", "/compare?jobs=%3Cscript%3E,../x"):
        seen.page.goto(seen.base + path)
        expect(seen.page.get_by_role("alert").first).to_be_visible()
        assert seen.page.locator("img[src=x]").count() == 0


def test_a_secret_is_masked(seen: Visit) -> None:
    page = seen.open("/jobs/plain-two")
    assert "api_key | ***" in rows(page, "Hyperparameters of plain-two")
    expect(page.get_by_label("Experiment", exact=True)).to_have_value(re.compile("api_key"))
    assert "swordfish" not in page.content()
    assert "swordfish" not in page.get_by_label("Experiment", exact=True).input_value()


def test_ticked_jobs_are_compared(seen: Visit) -> None:
    page = seen.open("/")
    for name in ("plain-one", "plain-two"):
        page.get_by_label("Name contains").fill(name)  # a box stays ticked when it is not shown
        expect(page.get_by_role("region", name="Jobs").locator("tbody tr")).to_have_count(1)
        page.get_by_label(f"Compare training {name}").check()
    page.get_by_label("Name contains").fill("plain")
    expect(page.get_by_label("Compare training plain-one")).to_be_checked()
    page.get_by_role("button", name="Compare 2").click()
    page.wait_for_url("**/compare?jobs=plain-one,plain-two")
    differing = rows(page, "What differs between the jobs")
    assert "learning_rate | 0.01 | 0.1" in differing
    assert not any(row.startswith("runs on") for row in differing)
    points = saved(page, "Save as CSV: validation:accuracy").decode()
    assert "plain-one,4," in points
    assert "plain-two,6," in points


def test_trials_are_drawn_and_the_best_is_marked_with_its_command(seen: Visit) -> None:
    page = seen.open("/tuning/tuned")
    listed = rows(page, "Trials of tuned")
    assert len(listed) == 6
    assert "★ best" in listed[0]
    assert "0.001" in listed[0]
    expect(page.get_by_text("kennel train SPEC --from-tuning tuned")).to_be_visible()
    for name in ("learning_rate", "optimizer"):
        expect(
            page.get_by_role("img", name=f"Chart: validation:accuracy over {name}")
        ).to_be_visible()
    lines = saved(page, "Save as CSV: All hyperparameters and validation:accuracy").decode()
    assert lines.splitlines()[0] == "learning_rate,optimizer,validation:accuracy"
    assert len(lines.splitlines()) == 7


def test_a_sweep_has_its_trials(seen: Visit) -> None:
    page = seen.open("/tuning/swept")
    assert "★ best 0.899 | 0.001" in rows(page, "Trials of swept")[0]
    expect(page.get_by_text("kennel deploy SPEC --job swept")).to_be_visible()
    page = seen.open("/tuning")
    assert rows(page, "Sweeps")[0].startswith("swept | Completed")
    assert rows(page, "Tuning jobs")[0].startswith("tuned | Completed")


def test_again_with_changes_checks_the_experiment_as_train_does(seen: Visit) -> None:
    page = seen.open("/jobs/plain-two")
    text = page.get_by_label("Experiment", exact=True)
    assert 'train = "s3://kennel-data/photos"' in text.input_value()
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".answer")).not_to_be_empty()
    text.fill('name = "x"\nnonsense = 1')
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".answer.bad")).to_contain_text("nonsense")
    expect(page.get_by_text("kennel train plain-two.toml")).to_be_visible()
    assert saved(page, "Save plain-two.toml") == b'name = "x"\nnonsense = 1'


def test_requests_to_an_endpoint_are_counted(jobs: Emulator, seen: Visit) -> None:
    page = seen.open("/endpoints")
    row = page.locator("tr", has_text="digits")
    expect(row.locator("td").nth(8)).to_have_text("1")
    predict(jobs, "digits")
    predict(jobs, "digits")
    expect(row.locator("td").nth(8)).to_have_text("3")
    expect(row).to_contain_text("no end")


def test_a_report_is_inside_the_page_without_an_origin(
    jobs: Emulator, seen: Visit, tmp_path: Path
) -> None:
    page = seen.open("/jobs/plain-two")
    page.get_by_role("button", name="Make the report").click()
    expect(page.get_by_role("alert").last).to_contain_text("plain-two has no recording")
    recording = SMALL.write(tmp_path / "recording")
    with tarfile.open(tmp_path / "output.tar.gz", "w:gz") as archive:
        archive.add(recording, "recording")
    key = "out/plain-two/output/output.tar.gz"
    jobs.s3.put_object(Bucket=BUCKET, Key=key, Body=(tmp_path / "output.tar.gz").read_bytes())
    page.get_by_role("button", name="Make the report").click()
    frame = page.frame_locator("iframe[sandbox='allow-scripts']")
    expect(frame.locator("h1")).to_contain_text(SMALL.job)
    (inside,) = (one for one in page.frames if "/report/" in one.url)
    assert inside.evaluate("self.origin") == "null"
    with pytest.raises(Error, match="sandboxed"):
        inside.evaluate("document.cookie")


def test_the_theme_can_be_chosen(seen: Visit) -> None:
    page = seen.open("/")
    expect(page.locator("body.body--light")).to_have_count(1)
    page.get_by_label("Theme").click()
    page.get_by_role("option", name="Dark").click()
    expect(page.locator("body.body--dark")).to_have_count(1)
    page = seen.open("/tuning")
    expect(page.locator("body.body--dark")).to_have_count(1)
    page.get_by_label("Theme").click()
    page.get_by_role("option", name="Auto").click()
    expect(page.locator("body.body--light")).to_have_count(1)

"""The page "Data" in Chromium: a folder with a leak, a copy, an unreadable picture, a conflict."""

import csv
import io
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.emulator.client import BUCKET, Emulator
from tests.scripts.digits_job import SPEC
from tests.scripts.ui.conftest import PATIENT_MS, Visit, visit
from tests.scripts.ui.test_data_looking import LOUD, conflicting, faulty, photos

pytestmark = pytest.mark.slow


def check(page: Page, folder: Path) -> None:
    page.get_by_label("Folder of photos, or an archive of it").fill(str(folder))
    page.get_by_role("button", name="Check", exact=True).click()
    page.wait_for_selector("main h2", timeout=PATIENT_MS)


def rows(page: Page, region: str) -> list[list[str]]:
    table = page.get_by_role("region", name=region, exact=True)
    expect(table.locator("tbody tr").first).to_be_visible(timeout=PATIENT_MS)
    return [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]


def test_counts_bad_files_copies_and_leaks_are_shown_and_saved(seen: Visit, tmp_path: Path) -> None:
    page = seen.open("/data")
    check(page, faulty(tmp_path))
    assert rows(page, "Classes and counts") == [
        [LOUD, "6", "2", "2", "10"],
        ["beagle", "7", "2", "2", "11"],
        ["pug", "6", "2", "3", "11"],
    ]
    [unreadable] = rows(page, "Unreadable pictures")
    assert unreadable[:3] == ["train/beagle/broken <b>.png", "train", "beagle"]
    assert "not a picture" in unreadable[3]
    leak, copy = rows(page, "Copies and leaks")
    assert leak[0] == "train/pug/train0.png, test/pug/leaked.png"
    assert leak[3:5] == ["test and train", "leak"]
    assert copy[4] == ""
    expect(page.get_by_text("The job would train; see the warnings.")).to_be_visible()
    expect(page.locator(".samples img")).to_have_count(9)
    assert page.locator("main img[src=x]").count() == 0
    with page.expect_download(timeout=PATIENT_MS) as download:
        page.get_by_role("button", name="Save as CSV: Classes and counts").click()
    saved = list(csv.reader(io.StringIO(Path(download.value.path()).read_text())))
    assert saved[2] == ["beagle", "7", "2", "2", "11"]
    with page.expect_download(timeout=PATIENT_MS) as download:
        page.get_by_role("button", name="Save as PNG: Pictures by class and split").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_label_conflict_and_a_missing_folder_are_shown(seen: Visit, tmp_path: Path) -> None:
    page = seen.open("/data")
    check(page, conflicting(tmp_path / "photos"))
    expect(page.get_by_role("alert").filter(has_text="The job would fail")).to_contain_text(
        "1 picture is in two classes"
    )
    [conflict] = rows(page, "Label conflicts")
    assert conflict == ["beagle, pug", "train/beagle/same.png, train/pug/train0.png", "2"]
    page.get_by_label("Folder of photos, or an archive of it").fill(str(tmp_path / "none"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").first).to_contain_text("no such folder", timeout=PATIENT_MS)


def test_a_check_can_be_cancelled(seen: Visit, tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    for number in range(4000):
        folder = tmp_path / "many" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").symlink_to(root / "train/pug/train0.png")
    page = seen.open("/data")
    page.get_by_label("Folder of photos, or an archive of it").fill(str(tmp_path / "many"))
    page.get_by_role("button", name="Check", exact=True).click()
    page.get_by_role("button", name="Cancel").click(timeout=PATIENT_MS)
    expect(page.get_by_role("status").first).to_have_text("cancelled", timeout=PATIENT_MS)
    expect(page.get_by_role("button", name="Check", exact=True)).to_be_enabled()


def test_an_experiment_s_photos_are_copied_from_s3_once_that_is_agreed(
    seen: Visit, jobs: Emulator, tmp_path: Path
) -> None:
    root = photos(tmp_path / "photos")
    for path in root.rglob("*.png"):
        if LOUD not in path.parts:
            key = f"experiment/{path.relative_to(root)}"
            jobs.s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
    text = re.sub("s3://kennel-digits/data", f"s3://{BUCKET}/experiment", Path(SPEC).read_text())
    spec = tmp_path / "experiment.toml"
    spec.write_text(text)
    page = seen.open("/data")
    page.get_by_label("Experiment (TOML)").fill(str(spec))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("20 objects")).to_be_visible(timeout=PATIENT_MS)
    page.get_by_role("button", name="Copy them").click()
    assert rows(page, "Classes and counts") == [
        ["beagle", "6", "2", "2", "10"],
        ["pug", "6", "2", "2", "10"],
    ]


@pytest.mark.parametrize(("width", "scheme"), [(1400, "dark"), (390, "light")])
def test_the_page_is_not_too_wide_and_has_no_barriers(
    chromium: Browser, address: str, tmp_path: Path, width: int, scheme: str
) -> None:
    with visit(chromium, address, width, scheme) as seen:
        page = seen.open("/data")
        check(page, faulty(tmp_path))
        page.wait_for_timeout(700)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        violations = Axe().run(page).response["violations"]
        assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []

"""The page "Try a photo" in Chromium: a real endpoint of the emulator, and a bundle, answer."""

import csv
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.emulator.client import BUCKET, QUICK, ROLE
from tests.scripts.conftest import run_emulator, use_endpoint
from tests.scripts.ui.conftest import PATIENT_MS, Visit, run_ui, visit
from tests.serve.conftest import CLASSES, picture, small

pytestmark = pytest.mark.slow

LOUD = "<img src=x onerror=alert(1)>.jpg"
ENDPOINT = "breeds"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("bundle")) / "model"


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `kennel ui` on an emulator that serves the bundle."""
    folder = tmp_path_factory.mktemp("photo-ui")
    config = folder / "emulator.toml"
    config.write_text("[limits]\nping_s = 60\n")  # a busy machine is slow
    with run_emulator(folder / "state", "--config", str(config)) as url:
        with pytest.MonkeyPatch.context() as patch:
            use_endpoint(patch, url)
            _deploy(bundle)
        with run_ui(url, folder, "test") as address:
            yield address


def _deploy(bundle: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in bundle.iterdir():
            tar.add(path, path.name)
    s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=buffer.getvalue())
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-serve:local"
    container = {
        "Image": image,
        "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz",
        "Environment": {"KENNEL_ENGINE": "torch"},
    }
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "m",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="c")
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=ENDPOINT, WaiterConfig=QUICK)


@pytest.fixture
def seen(chromium: Browser, served: str) -> Iterator[Visit]:
    with visit(chromium, served) as found:
        yield found


def choose(page: Page, files: list[FilePayload]) -> None:
    """Give files to the button `Choose photos`."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose photos").click()
    chooser.value.set_files(files)


def jpeg(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}


def wait_for(page: Page, text: str) -> None:
    expect(page.get_by_role("status").first).to_contain_text(text, timeout=PATIENT_MS)


def test_photos_are_answered_with_a_heat_map_and_a_bad_one_gets_its_message(seen: Visit) -> None:
    page = seen.open("/photo")
    expect(page.get_by_label("Answered by")).to_have_value(ENDPOINT, timeout=PATIENT_MS)
    files = [jpeg(LOUD, picture(1)), jpeg("bad.jpg", b"no picture"), jpeg("b.jpg", picture(2))]
    choose(page, files)
    wait_for(page, "2 of 3 photos answered")
    cards = page.locator(".photo")
    expect(cards).to_have_count(3)
    first = cards.nth(0)
    expect(first.get_by_role("heading")).to_have_text(LOUD)
    expect(first.locator(".bars li")).to_have_count(5)
    shares = [float(one.rstrip("%")) for one in first.locator(".bars .number").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert set(first.locator(".bars .label").all_inner_texts()) == set(CLASSES)
    expect(first).to_contain_text("like the photos of training")
    expect(first.locator(".took")).to_contain_text(" ms")
    expect(first.locator("img.heat")).to_be_visible()
    # Crop 64 of 72 pixels of the shorter side; the photo is 90 x 70.
    box, heat = first.locator(".frame").bounding_box(), first.locator("img.heat").bounding_box()
    assert box
    assert heat
    assert heat["height"] / box["height"] == pytest.approx(64 / 72, abs=0.01)
    assert heat["width"] == pytest.approx(heat["height"], rel=0.02)
    expect(cards.nth(1)).to_contain_text("these 10 bytes are not a picture")
    assert page.locator(".photo img[src=x]").count() == 0
    page.get_by_role("checkbox", name="Heat maps").click()
    expect(first.locator("img.heat")).to_have_count(0)


def test_a_card_is_saved_as_png_and_the_answers_as_csv(seen: Visit) -> None:
    page = seen.open("/photo")
    choose(page, [jpeg("=1+1.jpg", picture(1)), jpeg("b.jpg", picture(2))])
    wait_for(page, "2 of 2 photos answered")
    with page.expect_download(timeout=PATIENT_MS) as download:
        page.get_by_role("button", name="Save as PNG: b.jpg").click()
    with Image.open(download.value.path()) as saved:
        assert saved.format == "PNG"
        assert saved.width == 960
    with page.expect_download(timeout=PATIENT_MS) as download:
        page.get_by_role("button", name="Save as CSV: Answers").click()
    text = Path(download.value.path()).read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["photo"] for row in rows] == ["'=1+1.jpg", "b.jpg"]
    assert 0.2 <= float(rows[0]["probability"]) <= 1


def test_a_labelled_folder_of_this_machine_becomes_a_contact_sheet(
    seen: Visit, bundle: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(CLASSES[:3]):
        folder = tmp_path / f"00{number}.{name}"
        folder.mkdir()
        for seed in range(2):
            (folder / f"{seed}.jpg").write_bytes(picture(10 * number + seed))
    page = seen.open("/photo")
    page.get_by_label("Or a photo or folder on this machine").fill(str(tmp_path))
    page.keyboard.press("Enter")
    wait_for(page, "6 of 6 photos answered")
    expect(page.locator(".photo")).to_have_count(6)
    right, wrong = page.locator(".photo.is-good"), page.locator(".photo.is-bad")
    assert right.count() + wrong.count() == 6
    expect(page.get_by_text(f"{right.count()} of 6 right")).to_be_visible()
    table = page.get_by_role("region", name="Right by class")
    assert len(table.locator("tbody tr").all()) == 3
    shown = page.get_by_text(f"{right.count()} of 6 right").inner_text()
    # The same folder, sent by the browser.
    page.reload()
    page.locator("input[webkitdirectory]").set_input_files(str(tmp_path))
    wait_for(page, "6 of 6 photos answered")
    expect(page.get_by_text(shown)).to_be_visible()
    names = page.locator(".photo h3").all_inner_texts()
    assert names == sorted(names)
    assert names[0] == f"{tmp_path.name}/000.Affenpinscher/0.jpg"
    page.get_by_label("Or a photo or folder on this machine").fill(str(tmp_path / "none"))
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("no such file")


def test_a_bundle_of_this_machine_gives_what_its_endpoint_gives(
    seen: Visit, bundle: Path, tmp_path: Path
) -> None:
    page = seen.open("/photo")
    bars = page.locator(".photo .bars .number")
    found = []
    for target in (ENDPOINT, "a bundle on this machine"):
        page.get_by_label("Answered by").click()
        page.get_by_role("option", name=target).click()
        if target != ENDPOINT:
            field = page.get_by_label("Bundle: a folder or model.tar.gz")
            field.fill(str(tmp_path / "none"))
            choose(page, [jpeg("a.jpg", picture(5))])
            expect(page.get_by_role("alert")).to_contain_text("no such file or folder")
            field.fill(str(bundle))
        choose(page, [jpeg("a.jpg", picture(5))])
        expect(bars).to_have_count(0, timeout=PATIENT_MS)
        wait_for(page, "1 of 1 photos answered")
        expect(bars).to_have_count(5)
        found.append([float(one.rstrip("%")) for one in bars.all_inner_texts()])
    wait_for(page, "on cpu")
    assert found[0] == pytest.approx(found[1], abs=0.2)


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_the_page_is_not_too_wide_and_has_no_barriers(
    chromium: Browser, served: str, width: int, scheme: str
) -> None:
    with visit(chromium, served, width, scheme) as seen:
        page = seen.open("/photo")
        choose(page, [jpeg(f"{'long' * 30}{n}.jpg", picture(n)) for n in range(2)])
        wait_for(page, "2 of 2 photos answered")
        page.wait_for_timeout(700)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        violations = Axe().run(page).response["violations"]
        assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []


def test_a_stranger_sends_no_photo(seen: Visit) -> None:
    page = seen.open("/photo")
    own = {"Origin": seen.base}
    for headers, status in (({}, 403), ({"Origin": "https://evil.example"}, 403), (own, 404)):
        answer = page.request.post(
            f"{seen.base}/photo/drop/guessed?name=a", data=b"x", headers=headers
        )
        assert answer.status == status
    assert page.request.get(f"{seen.base}/photo/picture/guessed/0.jpg").status == 404

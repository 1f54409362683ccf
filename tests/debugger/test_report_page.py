"""The page of a job of 4,000 s and 10,000 steps in Chromium: wide, narrow, light, dark."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from debugger.report import write, write_tuning
from tests.debugger.chromium import Browser, browser
from tests.debugger.recorded import Made
from tests.debugger.test_report import SMALL, tuning
from tests.debugger.test_report_hostile import HOSTILE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    made = Made(photos=True)
    other = dataclasses.replace(made, slow=1.0, job="before").write(folder / "other")
    write(made.write(folder / "recording"), folder / "report.html", against=other)
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def test_a_job_of_4000_seconds_and_10000_steps_takes_less_than_1_mb(page: Path) -> None:
    assert page.stat().st_size < 1_000_000


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_has_no_errors_requests_or_horizontal_scrollbar(
    chromium: Browser, page: Path, width: int, dark: bool
) -> None:
    chromium.open(page, width, dark=dark)
    assert chromium.value("document.documentElement.clientWidth") == width
    # The page must not scroll horizontally; wide tables scroll in their own frame.
    assert chromium.value("document.documentElement.scrollWidth") == width
    chromium.value("document.querySelectorAll('details').forEach((one) => one.open = true)")
    assert chromium.value("document.documentElement.scrollWidth") == width
    ground = chromium.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) < 200) == dark
    assert chromium.messages == []
    assert chromium.requests == [page.as_uri()]


# WCAG 2.2, 1.4.3: the contrast between text and background must be at least 4.5.
CONTRAST = """
[...document.querySelectorAll('body *')].flatMap((one) => {
  const says = [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!says || !one.offsetParent) return [];
  const of = (text) => text.match(/[\\d.]+/g).map(Number);
  let behind = one, ground;
  do { ground = of(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; }
  while (ground[3] === 0 && behind);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const two = [light(of(getComputedStyle(one).color)), light(ground)].sort((a, b) => b - a);
  const ratio = (two[0] + 0.05) / (two[1] + 0.05);
  return ratio < 4.5 ? [one.className + ': ' + one.textContent.slice(0, 40) + ' ' + ratio] : [];
})
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_has_enough_contrast(chromium: Browser, page: Path, dark: bool) -> None:
    chromium.open(page, 1400, dark=dark)
    assert chromium.value(CONTRAST) == []


def test_every_chart_of_the_timeline_shows_the_values_under_the_pointer(
    chromium: Browser, page: Path
) -> None:
    chromium.open(page, 1400)
    chart = "document.querySelector('#timeline .tall .plot')"
    chromium.value(f"{chart}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box = chromium.value(
        f"(({{x, y, width, height}}) => [x, y, width, height])({chart}.getBoundingClientRect())"
    )
    chromium.move(box[0] + box[2] / 2, box[1] + box[3] / 2)
    charts = "[...document.querySelectorAll('#timeline .chart:not(.ribbon) .reading')]"
    readings = chromium.value(f"{charts}.map((one) => one.textContent)")
    assert len(readings) >= 7
    # Half of 4,034 s.
    assert all(item.startswith("33 min") for item in readings)
    assert "steps 0.3" in readings[0]
    chromium.value(
        "document.querySelector('.map').scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    box = chromium.value(
        "(({x, y}) => [x, y])(document.querySelector('.map').getBoundingClientRect())"
    )
    chromium.move(box[0] + 1, box[1] + 1)
    reading = chromium.value(
        "document.querySelector('.map').parentElement.querySelector('.reading').textContent"
    )
    assert reading.startswith("conv1.weight, step 0: about ")
    assert chromium.messages == []


VISIBLE = "[...document.querySelectorAll('{}')].filter((one) => one.offsetParent).length"


@pytest.mark.parametrize(("width", "matrices"), [(1400, 1), (390, 0)])
def test_the_worst_pairs_of_133_classes_have_photos_at_any_width(
    chromium: Browser, page: Path, width: int, matrices: int
) -> None:
    chromium.open(page, width)
    assert chromium.value(VISIBLE.format("#confusion .pairs li")) == 10
    assert chromium.value(VISIBLE.format("#confusion .pairs img")) == 20
    sizes = chromium.value(
        "[...document.querySelectorAll('.pairs img')].map((one) => [one.naturalWidth, one.width])"
    )
    assert all(size == [96, 96] for size in sizes)
    # The cells of so many classes are too small for a phone.
    assert chromium.value(VISIBLE.format("#confusion .heat")) == matrices


def test_points_at_the_edge_of_a_chart_are_whole(chromium: Browser, page: Path) -> None:
    chromium.open(page, 1400)
    chart = "document.querySelector('#curves .plot svg')"
    assert chromium.value(f"getComputedStyle({chart}).overflow") == "visible"
    assert chromium.value("getComputedStyle(document.querySelector('#curves .plot')).overflow") == (
        "visible"
    )


def test_a_page_of_a_tuning_job_marks_the_best_trial(chromium: Browser, tmp_path: Path) -> None:
    write_tuning(tuning(), tmp_path / "tuning.html")
    for width in (1400, 390):
        chromium.open(tmp_path / "tuning.html", width)
        assert chromium.value("document.documentElement.scrollWidth") == width
        assert chromium.value("document.querySelector('.best th').textContent") == "trial-7"
        assert chromium.value(VISIBLE.format(".chart")) == 3
        assert chromium.value("document.querySelectorAll('.large').length") == 3
        assert chromium.messages == []
        assert chromium.value("document.body.innerText.includes('<script>alert(1)')") is True


def test_the_page_is_complete_without_scripts(chromium: Browser, page: Path) -> None:
    drawn = "[document.querySelectorAll('svg path').length, document.body.innerText.length]"
    chromium.open(page, 1400)
    whole = chromium.value(drawn)
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(page, 1400)
        assert chromium.value("document.querySelectorAll('.cursor').length") == 0
        assert chromium.value(drawn) == whole
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_page_can_be_printed(chromium: Browser, page: Path) -> None:
    chromium.open(page, 1400, dark=True)
    printed = chromium.call("Page.printToPDF", printBackground=False)["data"]
    assert len(printed) > 100_000
    assert chromium.messages == []


def test_a_hostile_name_does_not_run(chromium: Browser, tmp_path: Path) -> None:
    made = dataclasses.replace(SMALL, job=HOSTILE, classes=(HOSTILE, "b"))
    write(made.write(tmp_path / "recording"), tmp_path / "report.html")
    chromium.open(tmp_path / "report.html", 390)
    assert chromium.value("document.querySelector('h1').textContent").startswith(HOSTILE)
    assert chromium.value("document.documentElement.scrollWidth") == 390
    assert chromium.messages == []
    assert chromium.requests == [(tmp_path / "report.html").as_uri()]

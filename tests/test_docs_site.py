"""`make docs`: the site has no warnings, fetches nothing, and can be read on a phone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.debugger.chromium import browser
from tests.documents import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "html"
    options = ["--fail-on-warning", "--keep-going", "--quiet", "-b", "html"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_no_page_names_something_to_fetch(site: Path) -> None:
    loads = re.compile(r"""(?:<(?:script|img|link|iframe)[^>]*?(?:src|href)=["']?)(?:https?:)?//""")
    files = [*site.rglob("*.html")]
    assert len(files) > 20
    assert [page.name for page in files if loads.search(page.read_text())] == []
    styles = [*site.rglob("*.css")]
    fetching = re.compile(r"""(?:@import|url\()\s*["']?(?:https?:)?//""")
    assert [style.name for style in styles if fetching.search(style.read_text())] == []


def test_pages_open_in_a_browser_and_are_as_wide_as_a_phone(site: Path, tmp_path: Path) -> None:
    wide, asked, said = [], [], []
    with browser(tmp_path / "profile") as page:
        for file in sorted(site.rglob("*.html")):
            page.open(file, 390)
            if page.value("document.documentElement.scrollWidth") > 390:
                wide.append(file.name)
            asked += [address for address in page.requests if not address.startswith("file:")]
            said += [f"{file.name}: {message}" for message in page.messages]
    assert (wide, asked, said) == ([], [], [])

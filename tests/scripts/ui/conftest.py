"""`kennel ui` in a process of its own, on an emulator with quick jobs, in a real Chromium."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.emulator.client import IMAGES, KEY, Emulator, upload_photos

HERE = Path(__file__).parent
# A curve and the states of a job show within this time. Source: issue 18.
LIVE_MS = 2_000
# What a busy machine needs at most.
PATIENT_MS = 60_000


def environment(url: str, key: str = KEY) -> dict[str, str]:
    """The environment of a shell that uses an emulator."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return own | {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": "hush-hush",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(scope="session")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator; the image `program` runs program.py."""
    images = IMAGES | {"program*": {"train": str(HERE / "program.py")}}
    emulator = Emulator(tmp_path_factory.mktemp("ui") / "state", images)
    emulator.limits = {"stop_grace_s": 2}
    emulator.start()
    upload_photos(emulator)
    yield emulator
    emulator.end()


@contextmanager
def run_ui(url: str, folder: Path, key: str = KEY) -> Iterator[str]:
    """Run `kennel ui`; yields the address that it prints."""
    command = [sys.executable, "-m", "scripts.cli", "ui", "--no-open"]
    with (folder / "ui.log").open("w+") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(url, key)
        )
        assert process.stdout
        address = process.stdout.readline().strip()
        try:
            assert address.startswith("http://127.0.0.1:"), (folder / "ui.log").read_text()
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)
            process.stdout.close()
            log.seek(0)
            assert "Traceback" not in (text := log.read()), text


@pytest.fixture(scope="session")
def address(jobs: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address, with its token, of `kennel ui` on the emulator of `jobs`."""
    with run_ui(jobs.url, tmp_path_factory.mktemp("ui-log")) as found:
        yield found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """A signed-in browser; what it asked for and complained about."""

    page: Page
    base: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Open a page, and wait until its frame is there and its socket is connected."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector("main h1", timeout=PATIENT_MS)
        return self.page

    def check(self) -> None:
        """Nothing was asked for elsewhere, and the console has no error."""
        foreign = [one for one in self.requests if not _is_own(one, self.base)]
        assert foreign == []
        assert self.complaints == []


def _is_own(url: str, base: str) -> bool:
    return url.startswith((f"{base}/", "data:", "blob:", base.replace("http://", "ws://") + "/"))


@contextmanager
def visit(
    browser: Browser, address: str, width: int = 1400, scheme: str = "light"
) -> Iterator[Visit]:
    """Sign in with a fresh browser context; at the end, check what it did."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        accept_downloads=True,
    )
    try:
        found = Visit(context.new_page(), address.partition("/?")[0])
        _record(context, found)
        found.page.goto(address)
        found.page.wait_for_selector("main h1", timeout=PATIENT_MS)
        yield found
        found.check()
    finally:
        context.close()


def _record(context: BrowserContext, found: Visit) -> None:
    def complain(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.complaints.append(f"{message.type}: {message.text}")

    context.on("request", lambda request: found.requests.append(request.url))
    found.page.on("websocket", lambda socket: found.requests.append(socket.url))
    found.page.on("console", complain)
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))


@pytest.fixture
def seen(chromium: Browser, address: str) -> Iterator[Visit]:
    """A browser at 1400 pixels on the page Jobs."""
    with visit(chromium, address) as found:
        yield found

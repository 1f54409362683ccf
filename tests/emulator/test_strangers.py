"""A real browser and another user of the machine can do nothing to the emulator."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.debugger import chromium
from tests.emulator.client import BUCKET, IMAGES, Emulator, files_below, signed, with_photos
from tests.emulator.test_doors import JOB, VERBS, send, state_of

pytestmark = pytest.mark.slow
NOBODY = 65534
EVIL = "evil.example"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with with_photos(Emulator(tmp_path_factory.mktemp("strangers") / "state", IMAGES)) as emulator:
        emulator.s3.create_bucket(Bucket="kept-empty")
        yield emulator


PAGE = b"<!doctype html><title>page</title><body></body>"


class _Page(BaseHTTPRequestHandler):
    """A page of a stranger, from another port."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def stranger() -> Iterator[int]:
    """The port of a server with a page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    """Chromium, in which a stranger's name leads to loopback (as after DNS rebinding)."""
    rules = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"
    with chromium.browser(tmp_path_factory.mktemp("profile"), rules) as started:
        started.invent(f"http://{EVIL}:*/page", PAGE)
        yield started


# What a page can do with a request: as a script, as a form, as a picture, as a frame.
ATTACK = """
(async () => {
  const {address, method, headers, body, pictures} = WORDS;
  const seen = [];
  const attempts = [{}, {mode: "no-cors"}, {credentials: "include"}];
  for (const more of attempts) {
    for (const named of [headers, {}]) {
      try {
        const content = ["GET", "HEAD"].includes(method) ? undefined : body;
        const answer = await fetch(address, {method, headers: named, body: content, ...more});
        seen.push([answer.status, (await answer.text()).slice(0, 300)]);
      } catch (error) { seen.push(["refused", String(error)]); }
    }
  }
  const load = (element, name) => new Promise((done) => {
    element.onload = () => { seen.push(["loaded", name]); done(); };
    element.onerror = () => done();
    setTimeout(done, 1500);
    document.body.append(element);
  });
  if (method === "GET" && pictures) {
    const image = new Image(); image.src = address; await load(image, "picture");
    const script = document.createElement("script"); script.src = address;
    await load(script, "script");
  }
  if (method === "POST") {
    const frame = document.createElement("iframe"); frame.name = "target";
    document.body.append(frame);
    const form = document.createElement("form"), where = {action: address, target: "target"};
    Object.assign(form, {method: "POST", enctype: "text/plain", ...where});
    const input = document.createElement("textarea"); input.name = body.split("=")[0];
    input.value = body; form.append(input); document.body.append(form); form.submit();
    await new Promise((done) => setTimeout(done, 700));
  }
  window.seen = seen;
})()
"""


def attack(browser: chromium.Browser, page: str, words: dict[str, Any]) -> list[list[Any]]:
    """Run an attack in a page; return the answers that it could read."""
    browser.visit(page)
    browser.value("window.seen = null; 0")
    browser.value(ATTACK.replace("WORDS", json.dumps(words)) + "; 0")
    deadline = time.monotonic() + 60
    while (seen := browser.value("window.seen")) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: list[list[Any]] = seen
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_a_page_in_a_browser_can_do_nothing(
    emulator: Emulator, browser: chromium.Browser, stranger: int, verb: str
) -> None:
    method, path, service, headers, body = VERBS[verb]
    before = state_of(emulator)
    port = emulator.url.rpartition(":")[2]
    words = {
        "method": method,
        "headers": headers | signed(service),  # the page knows the key
        "body": body or JOB,
        "pictures": True,
    }
    # A page of another origin asks the emulator by its address.
    foreign = attack(
        browser, f"http://127.0.0.1:{stranger}/", words | {"address": emulator.url + path}
    )
    # A page asks its own origin, whose name leads to the emulator since it was loaded.
    page = f"http://{EVIL}:{port}"
    rebound = attack(browser, f"{page}/page", words | {"address": page + path})
    for status, text in foreign:
        # "0" is an opaque answer: the page sees nothing of it.
        assert (status, text) == (0, "") or status == "refused", (status, text)
    for status, text in rebound:
        assert status in (403, 0, "refused"), (status, text)
        assert "cat" not in str(text)
    assert state_of(emulator) == before


def test_the_browser_reaches_the_emulator(emulator: Emulator, browser: chromium.Browser) -> None:
    """Else the test above could not fail."""
    browser.visit(emulator.url)
    assert "Emulator of AWS" in browser.value("document.body.innerText")
    port = emulator.url.rpartition(":")[2]
    browser.visit(f"http://{EVIL}:{port}/")
    assert "AccessDenied" in browser.value("document.documentElement.outerHTML")


def as_nobody(*words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    if os.geteuid():
        pytest.skip("needs root, to become another user")
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    return subprocess.run(
        words, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, text=True,
        **more,
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_another_user_can_do_nothing(emulator: Emulator, verb: str) -> None:
    method, path, service, headers, body = VERBS[verb]
    before = state_of(emulator)
    for who in (signed(service, "guessed"), {}):
        options = []
        for name, value in (headers | who).items():
            options += ["--header", f"{name}: {value}"]
        done = as_nobody(
            "curl", "--silent", "--request", method, "--data-binary", body, *options,
            "--write-out", "\n%{http_code}", emulator.url + path,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "403", done
    assert state_of(emulator) == before
    assert send(emulator, "GET", f"/{BUCKET}/photos/cat/1.jpg", signed("s3"))[2] == "cat"


def test_another_user_cannot_read_or_write_the_state(emulator: Emulator) -> None:
    assert as_nobody("ls", "/").returncode == 0
    assert as_nobody("ls", str(emulator.state)).returncode != 0
    files = files_below(emulator.state)
    assert len(files) > 5
    for path in files[:50]:
        done = as_nobody("cat", str(path))
        assert (done.returncode, done.stdout) == (1, ""), path
    assert as_nobody("touch", str(emulator.state / "x")).returncode != 0
    # Nor does it see the key in the list of processes, when the variable gave it.
    assert emulator.process
    assert Path(f"/proc/{emulator.process.pid}/environ").stat().st_mode & 0o077 == 0

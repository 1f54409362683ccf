"""Headless Chromium, controlled through a pipe (DevTools protocol)."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_SECONDS = 60


class Browser:
    """A page in Chromium; `messages` are errors and warnings, `requests` are addresses."""

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of = to, of
        self._rest = b""
        self._count = 0
        self._session: str | None = None
        self.messages: list[str] = []
        self.requests: list[str] = []
        self._loaded: set[str] = set()
        self._invented = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and return its result; events that arrive in the meantime are stored."""
        self._count += 1
        number = self._count
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path, width: int, *, dark: bool = False, media: str = "") -> None:
        """Open a file at a width in CSS pixels."""
        self.messages.clear()
        self.requests.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        # Until the page is loaded, the previous page answers.
        loader = self.call("Page.navigate", url=page.as_uri())["loaderId"]
        while loader not in self._loaded:
            self._next()
        deadline = time.monotonic() + _SECONDS
        while self.value("innerWidth") != width and time.monotonic() < deadline:
            time.sleep(0.02)

    def invent(self, pattern: str, page: bytes) -> None:
        """Answer requests for addresses of a pattern with a page, without asking any server."""
        self._invented = base64.b64encode(page).decode()
        self.call("Fetch.enable", patterns=[{"urlPattern": pattern}])

    def visit(self, address: str) -> None:
        """Open an address and wait until it is loaded."""
        answer = self.call("Page.navigate", url=address)
        assert "errorText" not in answer, answer
        while answer["loaderId"] not in self._loaded:
            self._next()

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def move(self, x: float, y: float) -> None:
        """Move the pointer to a position in the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path: Path, top: float = 0, height: float | None = None) -> None:
        """Write a PNG of the page or a part of it."""
        width = self.value("document.documentElement.clientWidth")
        height = height or self.value("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        taken = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._of, 1 << 20)
            assert part, "Chromium ended"
            self._rest += part
        line, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, about: dict[str, Any]) -> None:
        if method == "Fetch.requestPaused":
            self._count += 1
            headers = [{"name": "Content-Type", "value": "text/html"}]
            answer = {"requestId": about["requestId"], "responseCode": 200, "body": self._invented}
            message = {
                "id": self._count,
                "method": "Fetch.fulfillRequest",
                "params": answer | {"responseHeaders": headers},
                "sessionId": self._session,
            }
            os.write(self._to, json.dumps(message).encode() + b"\0")
        if method == "Page.lifecycleEvent" and about["name"] == "load":
            self._loaded.add(about["loaderId"])
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(f"{about['type']}: {about['args']}")
        elif method == "Runtime.exceptionThrown":
            self.messages.append(f"exception: {about['exceptionDetails']}")
        elif method == "Log.entryAdded":
            self.messages.append(f"{about['entry']['level']}: {about['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            address = about["request"]["url"]
            if not address.startswith("data:"):
                self.requests.append(address)


@contextmanager
def browser(profile: Path, *more: str) -> Iterator[Browser]:
    """Start Chromium, with more flags; skip the test if it is not installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    read_end, browser_write = os.pipe()
    browser_read, write_end = os.pipe()
    # Chromium reads commands from 3 and answers on 4; --no-sandbox because tests can run as root.
    flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars"
    command = [program, *flags.split(), f"--user-data-dir={profile}", "--remote-debugging-pipe",
               "--no-first-run", "--disable-background-networking", *more,
               "about:blank"]  # fmt: skip
    shell = f'exec "$@" 3<&{browser_read} 4>&{browser_write}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", *command],
        pass_fds=(browser_read, browser_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(browser_read)
    os.close(browser_write)
    try:
        yield Browser(write_end, read_end)
    finally:
        os.close(write_end)
        process.terminate()
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(read_end)

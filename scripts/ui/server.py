"""The server of `kennel ui`: NiceGUI behind the guard, on a loopback port of its own."""

import importlib
import secrets
import socket
import threading
import webbrowser

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from scripts.console import terminal
from scripts.problem import Problem
from scripts.ui import frame
from scripts.ui.guard import Guard

# One file for each page, or for pages of a kind.
pages = ("jobs", "job", "compare", "tuning", "endpoints", "photo", "data")
_HOST = "127.0.0.1"


def serve(port: int, *, opens: bool) -> None:
    """Serve the pages of `context.use` until Ctrl-C; port 0 is a free one.

    Raises:
        Problem: the port is taken.
    """
    frame.prepare()
    for name in pages:
        importlib.import_module(f"scripts.ui.{name}")
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        app,
        title="Kennel",
        language="en-US",
        dark=None,
        tailwind=False,
        gzip_middleware_factory=None,  # the guard reads pages; on loopback size costs nothing
        show_welcome_message=False,
    )
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((_HOST, port))
        except OSError as error:
            raise Problem(f"port {port}: {error.strerror}: give another --port") from None
        listening.listen()  # a browser that is quick waits here until the server runs
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(24)
        config = uvicorn.Config(
            Guard(app, token, port),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        address = f"http://{_HOST}:{port}/?token={token}"
        terminal.result(address)
        terminal.note("only this browser address has the token; Ctrl-C ends the server")
        if opens:
            # A browser in the terminal returns only when it is left.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        uvicorn.Server(config).run(sockets=[listening])

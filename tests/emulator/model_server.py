"""A user's serving image in one file, without Kennel. Requests tell it what to do."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
PORT = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
MODE = os.environ.get("MODE", "")
MAX_MODELS = 2
models: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/execution-parameters":
            given = os.environ.get("PARAMETERS", "")
            self.reply(200 if given else 404, given.encode())
            return
        self.reply(503 if MODE == "never healthy" else 200, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == "/models":
            self.load(json.loads(body))
        elif self.path.startswith("/models/"):
            self.reply(200, models[self.path.split("/")[2]].encode())
        else:
            self.predict(body)

    def do_DELETE(self) -> None:
        del models[self.path.rpartition("/")[2]]
        self.reply(200, b"")

    def load(self, request: dict[str, str]) -> None:
        if request["model_name"] in models:
            self.reply(409, b"")
        elif len(models) == MAX_MODELS:
            self.reply(507, b"")
        else:
            models[request["model_name"]] = (Path(request["url"]) / "name.txt").read_text()
            print(f"loaded {models[request['model_name']]}")
            self.reply(200, b"")

    def predict(self, body: bytes) -> None:
        if body == b"sleep":
            time.sleep(30)
        if body.startswith(b"wait "):
            print("waiting")
            time.sleep(float(body.split()[1]))
        if body == b"die":
            os._exit(9)
        if body.startswith(b"status "):
            self.reply(int(body.split()[1]), b"as requested")
            return
        model = ROOT / "model"
        answer = {
            "pid": os.getpid(),
            "body": body.decode(),
            "type": self.headers["Content-Type"],
            "accept": self.headers["Accept"],
            "attributes": self.headers["X-Amzn-SageMaker-Custom-Attributes"],
            "model": {path.name: path.read_text() for path in model.iterdir()},
            "batch": os.environ.get("SAGEMAKER_BATCH"),
            "strategy": os.environ.get("SAGEMAKER_BATCH_STRATEGY"),
        }
        self.reply(200, json.dumps(answer).encode())

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Amzn-SageMaker-Custom-Attributes", "from-the-model")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if MODE == "exits":
    sys.exit(4)
if "ONLY_ONE" in os.environ:  # at once, on this machine
    try:
        Path(os.environ["ONLY_ONE"]).touch(exist_ok=False)
    except FileExistsError:
        sys.exit(5)
print(f"serving, pid {os.getpid()}")
ThreadingHTTPServer(("", PORT), Handler).serve_forever()

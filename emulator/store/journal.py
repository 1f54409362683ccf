"""Keeps moto's state over a restart: changes are logged to a file and replayed.

For services with few, small changes: ECR, IAM, autoscaling, schedules. Replayed resources
get the time of the restart and new random ids (such as IAM ids).
"""

import base64
import json
import threading
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from werkzeug.test import EnvironBuilder, run_wsgi_app
from werkzeug.wrappers import Request

from emulator.store.paths import open_private

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
# As named in a request's signature. S3 objects and logs are stored elsewhere.
_SERVICES = ("ecr", "iam", "application-autoscaling", "scheduler")
_READS = ("Get", "List", "Describe", "Batch", "Simulate", "Search")
_HEADERS = ("Authorization", "Content-Type", "X-Amz-Target", "X-Amz-Date")


class Journal:
    """Passes requests on to moto and logs those that change something.

    Args:
        file: the log; requests already in it are replayed.
        application: moto's WSGI application.
    """

    def __init__(self, file: Path, application: Application) -> None:
        self._file, self._application = file, application
        self._lock = threading.Lock()
        for line in file.read_text().splitlines() if file.exists() else []:
            entry = json.loads(line)
            builder = EnvironBuilder(
                path=entry["path"],
                method=entry["method"],
                headers=entry["headers"],
                data=base64.b64decode(entry["body"]),
            )
            run_wsgi_app(application, builder.get_environ(), buffered=True)

    def answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Let moto answer; log the request if it succeeded and changed something."""
        request = Request(environ)
        if not _is_change(request):
            return self._application(environ, start)
        body = request.get_data()
        environ["wsgi.input"] = BytesIO(body)
        statuses: list[str] = []

        def record_status(status: str, headers: Any, *more: Any) -> Any:
            statuses.append(status)
            return start(status, headers, *more)

        with self._lock:  # the log has the order in which moto made the changes
            answer = self._application(environ, record_status)
            if statuses and statuses[0].startswith("2"):
                self._write(request, body)
        return answer

    def _write(self, request: Request, body: bytes) -> None:
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        entry = {
            "method": request.method,
            "path": request.full_path.rstrip("?"),
            "headers": headers,
            "body": base64.b64encode(body).decode(),
        }
        with open_private(self._file, "a") as file:
            file.write(json.dumps(entry) + "\n")


def _is_change(request: Request) -> bool:
    """Whether a request changes something in one of the logged services."""
    scope = request.headers.get("Authorization", "").partition("/aws4_request")[0]
    service = scope.rpartition("/")[2]
    if service == "scheduler":  # its protocol uses HTTP's methods
        return request.method in ("POST", "PUT", "DELETE")
    if request.method != "POST" or service not in _SERVICES:
        return False
    # The query protocol (IAM) has the action in the body, the others in a header.
    action = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    if not action:
        body = request.get_data()
        request.environ["wsgi.input"] = BytesIO(body)
        action = body.decode(errors="replace").partition("Action=")[2]
    return not action.startswith(_READS)

"""What moto alone remembers, brought over a restart: changes are written down, and made again.

For services with few and small changes: ECR, IAM, autoscaling, the model registry. What is made
again has the time of the restart, and whatever moto draws by chance (an IAM id) is another.
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

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
# By the name in a request's signature. S3 and logs have files of their own.
_SERVICES = ("ecr", "iam", "application-autoscaling", "sagemaker")
_READS = ("Get", "List", "Describe", "Batch", "Simulate", "Search")
_HEADERS = ("Authorization", "Content-Type", "X-Amz-Target", "X-Amz-Date")


class Journal:
    """The changes made so far.

    Args:
        file: where they are kept.
        application: moto's.
    """

    def __init__(self, file: Path, application: Application) -> None:
        self._file, self._application = file, application
        self._lock = threading.Lock()
        for line in file.read_text().splitlines() if file.exists() else []:
            said = json.loads(line)
            builder = EnvironBuilder(
                path=said["path"],
                method=said["method"],
                headers=said["headers"],
                data=base64.b64decode(said["body"]),
            )
            run_wsgi_app(application, builder.get_environ(), buffered=True)

    def answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Have moto answer; write the request down if it changed something."""
        request = Request(environ)
        if not _is_change(request):
            return self._application(environ, start)
        body = request.get_data()
        environ["wsgi.input"] = BytesIO(body)
        statuses: list[str] = []

        def note(status: str, headers: Any, *more: Any) -> Any:
            statuses.append(status)
            return start(status, headers, *more)

        with self._lock:  # so that they are made again in the order in which they were made
            answer = self._application(environ, note)
            if statuses and statuses[0].startswith("2"):
                self._write(request, body)
        return answer

    def _write(self, request: Request, body: bytes) -> None:
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        said = {
            "method": request.method,
            "path": request.full_path.rstrip("?"),
            "headers": headers,
            "body": base64.b64encode(body).decode(),
        }
        with self._file.open("a") as file:
            file.write(json.dumps(said) + "\n")


def _is_change(request: Request) -> bool:
    """Whether a request is one of a service that is written down, and no mere question."""
    scope = request.headers.get("Authorization", "").partition("/aws4_request")[0]
    if request.method != "POST" or scope.rpartition("/")[2] not in _SERVICES:
        return False
    # The query protocol (IAM) has the action in the body, the others in a header.
    action = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    if not action:
        body = request.get_data()
        request.environ["wsgi.input"] = BytesIO(body)
        action = body.decode(errors="replace").partition("Action=")[2]
    return not action.startswith(_READS)

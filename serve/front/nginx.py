"""nginx exposes `/ping`, `/invocations` and `/execution-parameters`, and nothing else.

It keeps slow clients and oversize bodies away from the model server, and answers errors in our
JSON.
"""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from serve.front import processes, refusals, template
from serve.front.headers import (
    ACCEPT,
    ATTRIBUTES,
    CALL,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    COSTLY,
    QUERY,
    REQUEST_ID,
    UNREADABLE,
)
from serve.lane import handover
from serve.settings import Settings

HEALTH_SOCKET = "health.sock"
LANE = "lane"  # the folder of the lane, in the run directory
_HEADER_S, _BODY_S = 10, 10
_CONNECTIONS = 8192  # 2 MiB of memory
_BODIES = 6 * 2**30  # bytes on disk of all bodies that are arriving
_MAX_TRANSFORMED_MB = 100


def _execution_parameters(settings: Settings) -> str:
    """Return the answer for batch transform: how many requests at once, each one record.

    Source: CreateTransformJob, "MaxPayloadInMB": both together at most 100 MB.
    """
    layout = settings.layout
    payload = min(settings.max_payload_mb, _MAX_TRANSFORMED_MB)
    fields = {
        "MaxConcurrentTransforms": max(
            1, min(layout.workers * layout.batch_size, _MAX_TRANSFORMED_MB // payload)
        ),
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": payload,
    }
    return json.dumps(fields)


def _metrics(settings: Settings) -> str:
    """Return the server block of `/metrics`, on loopback only; empty without a metrics port."""
    if settings.metrics_port is None:
        return ""
    return f"""
  server {{
    listen 127.0.0.1:{settings.metrics_port};
    location = /metrics {{ proxy_pass http://health; }}
    location / {{ return 404; }}
  }}
"""


def configuration(
    settings: Settings, run_dir: Path, model_server_port: int, user: int | None = None
) -> str:
    """Return nginx.conf; every path in it is in `run_dir`."""
    errors = refusals.errors(settings)
    pages = [f"error_page {name} = @{name};" for name in errors if name.isdigit()]
    pages += [f"error_page {name[1:]} {name};" for name in errors if name.startswith("/")]
    pages.append("error_page 494 =431 /431;")  # nginx's own number for large headers
    temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    # As root, nginx would run its workers as nobody, who cannot enter the run directory.
    as_root = os.geteuid() == 0 and user is None
    facts = {
        "accept": ACCEPT,
        "content_type": CONTENT_TYPE,
        "content_encoding": CONTENT_ENCODING,
        "query": QUERY,
        "call": CALL,
        "attributes": ATTRIBUTES,
        "request_id": REQUEST_ID,
        "unreadable": UNREADABLE,
        "answer_within_s": refusals.ANSWER_WITHIN_S,
        # The model server answers 404 while the model is being registered. With many models, 404
        # and 507 belong to SageMaker's contract.
        "unavailable": "502 503" if settings.multi_model else "404 502 503",
        "failed": "500" if settings.multi_model else "500 507",
        "requests": _most_requests(settings),
        "run_dir": run_dir,
        "error_pages": "\n".join(f"    {page}" for page in pages),
    }
    invoke = (template.MODELS if settings.multi_model else template.INVOCATIONS) + template.ACCEPTED
    connections = _connections()
    return template.TEMPLATE.format(
        **facts,
        user="user root root;" if as_root else "",
        listen=settings.listen,
        metrics=_metrics(settings),
        parameters=_execution_parameters(settings),
        drain_s=settings.drain_s,
        max_body=settings.max_body,
        model_server_port=model_server_port,
        health_socket=HEALTH_SOCKET,
        lane=LANE,
        lane_socket=handover.SOCKET,
        costly=COSTLY,
        connections=connections,
        open_files=2 * connections,
        header_s=_HEADER_S,
        body_s=_BODY_S,
        large=_large(settings),
        forwarded=template.FORWARDED.format(**facts),
        replaced=template.REPLACED.format(**facts),
        invoke=invoke.format(**facts),
        temporary="\n".join(f"  {kind}_temp_path {run_dir}/nginx-{kind};" for kind in temporary),
        error_locations="\n".join(refusals.location(name, error) for name, error in errors.items()),
    )


def _connections() -> int:
    """Return how many connections nginx takes: as many as the files that it can open allow."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _CONNECTIONS if hard == resource.RLIM_INFINITY else min(_CONNECTIONS, hard // 2)


def _most_requests(settings: Settings) -> int:
    """Return how many requests can be open: half of the connections, and disk for their bodies."""
    return max(16, min(_connections() // 2, _BODIES // settings.max_body))


def _large(settings: Settings) -> str:
    """Return what tells bodies that go around the model server, which would hold them in memory.

    User code reads its bodies itself, so they all go through the model server.
    """
    if settings.code or settings.max_body <= settings.max_direct_body:
        return "  map $content_length $kennel_large { default 0; }"
    digits = len(str(settings.max_direct_body)) + 1
    return (
        f'  map "$http_transfer_encoding:$content_length" $kennel_large '
        f'{{ default 0; "~^[^:]" 1; "~:[0-9]{{{digits},}}$" 1; }}'
    )


def _check_port(settings: Settings) -> None:
    """Raise NginxError if the port cannot be opened: nginx would not say how to mend it."""
    family = socket.AF_INET6 if settings.address.version == 6 else socket.AF_INET
    try:
        socket.create_server((str(settings.address), settings.port), family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise NginxError(
            f"port {settings.port} of {settings.address} cannot be opened ({reason}): end "
            "the program that has it, or set SAGEMAKER_BIND_TO_PORT to another"
        ) from None


class NginxError(Exception):
    """nginx could not be started; the message says why."""


class Nginx:
    """A running nginx.

    Raises:
        NginxError: nginx is not installed, or its port cannot be opened.
    """

    def __init__(
        self, settings: Settings, run_dir: Path, model_server_port: int, user: int | None = None
    ) -> None:
        self._user = user
        found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if found is None:
            raise NginxError("nginx is not installed: apt-get install nginx-light")
        _check_port(settings)
        config = run_dir / "nginx.conf"
        config.write_text(configuration(settings, run_dir, model_server_port, user))
        self._command = [found, "-p", str(run_dir), "-c", str(config), "-e", "stderr"]
        self._run_dir = run_dir
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        return processes.start(
            self._command,
            cwd=self._run_dir,
            environment={"LC_ALL": "C"},
            user=self._user,
            on_our_death=signal.SIGTERM,  # on SIGTERM it ends its workers too
        )

    def restart(self) -> None:
        """Start again after the master died. Its workers are still alive and hold the port."""
        self.refuse_new()
        self.process = self._start()

    def refuse_new(self) -> None:
        """Close the port; open requests are still answered."""
        processes.signal_session(self.process, signal.SIGQUIT)

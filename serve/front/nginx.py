"""nginx exposes `/ping`, `/invocations` and `/execution-parameters`, and nothing else.

It keeps slow clients and oversize bodies away from the model server, and answers errors in our
JSON.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

from serve.errors import RequestError
from serve.front import processes
from serve.front.headers import (
    ACCEPT,
    ATTRIBUTES,
    CALL,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    COSTLY,
    QUERY,
    REQUEST_ID,
)
from serve.lane import handover
from serve.settings import Settings

HEALTH_SOCKET = "health.sock"
LANE = "lane"  # the folder of the lane, in the run directory
# SageMaker gives a model 60 seconds to answer.
_ANSWER_WITHIN_S = 65
_HEADER_S, _BODY_S = 10, 10
_HEADER_LINE = 3072
_CONNECTIONS = 8192  # 2 MiB of memory
_BODIES = 6 * 2**30  # bytes on disk of all bodies that are arriving
_MAX_TRANSFORMED_MB = 100

_ROUTES = "the routes are GET /ping, POST /invocations and GET /execution-parameters"

_TEMPLATE = """
daemon off;
pid nginx.pid;
error_log stderr warn;
{user}
worker_processes 1;
worker_shutdown_timeout {drain_s}s;
worker_rlimit_nofile {open_files};
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  server_tokens off;
  default_type application/json;
  client_max_body_size {max_body};
  client_body_buffer_size 1m;
  # A buffer holds one header line, and the model server takes two such lines (8 KiB).
  large_client_header_buffers 8 3k;
  keepalive_requests 100000;
  # Slow clients: for all headers together, and between two parts of a body or an answer. When
  # connections run short, nginx closes those that wait for a request.
  client_header_timeout {header_s}s;
  client_body_timeout {body_s}s;
  send_timeout {body_s}s;
  reset_timedout_connection on;
  recursive_error_pages on;  # from a worker to the lane, and from there to an error
{temporary}

  map $http_x_request_id $kennel_request_id {{
    "~^[A-Za-z0-9._-]{{1,64}}$" $http_x_request_id;
    default $request_id;
  }}
  # The model server takes 8 KiB of headers; a SageMaker attribute has at most 1024 characters.
  map $args $kennel_query {{ "" ""; "~^[!-~]{{0,500}}$" $args; default "too_long="; }}
  map $http_x_amzn_sagemaker_custom_attributes $kennel_attributes {{
    "~^[ -~]{{1,1024}}$" $http_x_amzn_sagemaker_custom_attributes;
    default "";
  }}
  # Requests whose headers are complete, in all; /ping is not among them.
  map "" $kennel_all {{ default all; }}
  limit_conn_zone $kennel_all zone=requests:32k;
  limit_conn_status 503;
  limit_conn_log_level warn;
{large}
  upstream model_server {{ server 127.0.0.1:{model_server_port}; keepalive 64; }}
  upstream health {{ server unix:{run_dir}/{health_socket}; }}
  upstream lane {{ server unix:{run_dir}/{lane}/{lane_socket}; }}

  proxy_http_version 1.1;
  # Only the headers that are set here reach the model server.
  proxy_pass_request_headers off;
  proxy_set_header Connection "";
  proxy_set_header {request_id} $kennel_request_id;
  proxy_hide_header {request_id};
  add_header {request_id} $kennel_request_id always;

  server {{
    listen {listen} backlog=1024;
{error_pages}

    location = /ping {{
      if ($request_method !~ ^(GET|HEAD)$) {{ return 405; }}
      proxy_pass http://health;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header {request_id} $kennel_request_id;
      proxy_set_header Content-Length "";
      proxy_connect_timeout 1s;
      proxy_read_timeout 1s;
      error_page 502 504 = @silent;
{error_pages}
    }}
{invoke}
    location = /kennel-read {{ internal; return 204; }}
    location @invoke {{
      if ($kennel_large) {{ return {costly}; }}
      proxy_method POST;
      # The question mark drops the query; the handler would get it as further inputs.
      rewrite ^ /models/model/invoke? break;
      proxy_pass http://model_server;
{forwarded}
      # Replaces the model server's own errors; the handler's 4xx pass through.
      proxy_intercept_errors on;
{replaced}
      error_page {costly} = @costly;
    }}
    location @costly {{
      proxy_method POST;
      proxy_pass http://lane;
{forwarded}
      proxy_intercept_errors on;
{replaced}
    }}
    location = /execution-parameters {{
      if ($request_method !~ ^(GET|HEAD)$) {{ return 405; }}
      return 200 '{parameters}';
    }}
    location / {{ return 404; }}
{error_locations}
  }}
{metrics}}}
"""
# To the model server and to the lane.
_FORWARDED = """
      proxy_set_header Connection "";
      proxy_set_header {request_id} $kennel_request_id;
      proxy_set_header {accept} $http_accept;
      proxy_set_header Content-Type application/octet-stream;
      proxy_set_header {content_type} $content_type;
      proxy_set_header {content_encoding} $http_content_encoding;
      proxy_set_header {call} $kennel_call;
      proxy_set_header {query} $kennel_options;
      proxy_set_header {attributes} $kennel_attributes;
      proxy_read_timeout {answer_within_s}s;
      # The model server resets its connection after a 4xx; a buffering nginx would run into that.
      proxy_buffering off;"""
_REPLACED = """
      error_page {unavailable} = @503;
      error_page {failed} = @500;
      error_page 408 = @408;
      error_page 413 = @413;  # a chunked body, whose size is known only here
      error_page 504 = @504;"""


# The mirror reads the body, so that a bad chunk gets the error pages of this location; nothing is
# copied. Then nginx looks for a file, finds none, and goes on to the location that passes it on.
_ACCEPTED = """
      limit_conn requests {requests};
      set $kennel_call "$request_method $uri";
      set $kennel_options $kennel_query;  # before a rewrite removes it
      mirror /kennel-read;
      root {run_dir}/none;
      log_not_found off;
      error_page 404 = @invoke;
{error_pages}
    }}
"""
_INVOCATIONS = """
    location = /invocations {{
      if ($request_method != POST) {{ return 405; }}"""
# The worker distinguishes the methods.
_MODELS = """
    location ~ "^/models(/[A-Za-z0-9._-]+(/invoke)?)?$" {{
      if ($request_method !~ ^(GET|POST|DELETE)$) {{ return 405; }}"""


def _errors(settings: Settings) -> dict[str, RequestError]:
    """Return nginx's own error answers, by the name of their location."""
    limit = f"{settings.max_payload_mb} MiB"
    headers = f"a header line has at most {_HEADER_LINE} bytes, all together 24 KiB"
    return {
        # These can be found before there is a path, which a named location needs.
        "/400": RequestError(
            400, "this is not an HTTP request", "check its request line, headers and chunks"
        ),
        "/414": RequestError(
            414, f"the URL is longer than {_HEADER_LINE} bytes", "send parameters in the body"
        ),
        "/431": RequestError(431, "the headers are too large", headers),
        "/501": RequestError(
            501, "this Transfer-Encoding is not supported", "send the body as it is, or chunked"
        ),
        "/505": RequestError(505, "this version of HTTP is not supported", "use HTTP/1.1"),
        "404": RequestError(404, "no such path", _ROUTES),
        "405": RequestError(405, "method not allowed", _ROUTES),
        "408": RequestError(408, "the request did not arrive in time", "send it again"),
        "413": RequestError(
            413,
            f"the body is larger than {limit}",
            "send a smaller picture, or raise SAGEMAKER_MAX_PAYLOAD_IN_MB",
        ),
        "500": RequestError(
            500, "the model failed on this request", "find its request id in the log"
        ),
        "503": RequestError(
            503, "no worker can take this request now", "send it again in a few seconds"
        ),
        "504": RequestError(
            504, f"no answer within {_ANSWER_WITHIN_S} seconds", "send it again, or fewer pictures"
        ),
        "silent": RequestError(503, "the supervisor does not answer", "see the log"),
    }


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
    errors = _errors(settings)
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
        "answer_within_s": _ANSWER_WITHIN_S,
        # The model server answers 404 while the model is being registered. With many models, 404
        # and 507 belong to SageMaker's contract.
        "unavailable": "502 503" if settings.multi_model else "404 502 503",
        "failed": "500" if settings.multi_model else "500 507",
        "requests": _most_requests(settings),
        "run_dir": run_dir,
        "error_pages": "\n".join(f"    {page}" for page in pages),
    }
    invoke = (_MODELS if settings.multi_model else _INVOCATIONS) + _ACCEPTED
    connections = _connections()
    return _TEMPLATE.format(
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
        forwarded=_FORWARDED.format(**facts),
        replaced=_REPLACED.format(**facts),
        invoke=invoke.format(**facts),
        temporary="\n".join(f"  {kind}_temp_path {run_dir}/nginx-{kind};" for kind in temporary),
        error_locations="\n".join(_location(name, error) for name, error in errors.items()),
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


def _location(name: str, error: RequestError) -> str:
    body = error.body("$kennel_request_id").decode().strip()
    assert not set(body) & set("'\\"), "nginx would need these escaped"
    retry = "add_header Retry-After 2 always; " if error.code == 503 else ""
    # A location with its own add_header does not inherit the server's.
    request_id = f"add_header {REQUEST_ID} $kennel_request_id always; "
    place = f"= {name} {{ internal;" if name.startswith("/") else f"@{name} {{"
    return f"    location {place} {request_id}{retry}return {error.code} '{body}'; }}"


class NginxError(Exception):
    """nginx could not be started; the message says why."""


class Nginx:
    """A running nginx.

    Raises:
        NginxError: nginx is not installed.
    """

    def __init__(
        self, settings: Settings, run_dir: Path, model_server_port: int, user: int | None = None
    ) -> None:
        self._user = user
        found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if found is None:
            raise NginxError("nginx is not installed: apt-get install nginx-light")
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

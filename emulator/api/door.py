"""Who may talk to the emulator: its own clients, by loopback address and access key.

Any page in the user's browser, and any user of the machine, can send requests to a loopback
address. A browser cannot hide where a page comes from, and other users do not know the access key.
"""

import datetime as dt
import hmac
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from emulator.keys import SERVICES
from emulator.settings import HOST

ABOUT = (
    "This is an emulator of AWS, for clients on this machine that have its access key.\n"
    "`kennel ui` shows its jobs and endpoints in a browser, and `kennel jobs` in a terminal.\n"
    "`python -m emulator status` prints the variables to export first.\n"
)
# The same for a browser. It has no script, and nothing of it comes from elsewhere.
ABOUT_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Emulator of AWS</title>
<style>
body { font: 1.1rem/1.6 system-ui, sans-serif; margin: 3rem auto; max-width: 40rem }
body > * { padding: 0 1rem }
pre { overflow-x: auto; padding: 1rem; margin: 0 1rem; border: 1px solid #8888; border-radius: 6px }
</style>
<h1>Emulator of AWS</h1>
<p>This address answers as SageMaker, S3 and other services of AWS do, for programs on this machine
that have its access key. Nothing here costs money. There is nothing more to see in a browser.</p>
<p>To see its jobs, curves and endpoints, in the shell in which you use the emulator:</p>
<pre>kennel ui</pre>
<p>In another shell, first set the variables that reach it:</p>
<pre>eval "$(kennel emulator status)"</pre>
</html>
"""
# For browsers: an object that is a web page runs no scripts, and does not have our origin.
NO_SCRIPTS = ("Content-Security-Policy", "sandbox")
# moto routes these paths to its own API and to instance metadata, whatever the signature says.
RESET = "/moto-api/reset"  # the emulator answers this one itself
_OFF = ("/moto-api", "/latest/meta-data/", "/latest/api/", "/favicon.ico")
_FOREIGN_SITES = ("cross-site", "same-site")
_SIGNED = re.compile(
    r"AWS4-\S+ (?:.*[,\s])?Credential=([^/,\s]+)/((?:[^/,\s]+/)*)([^/,\s]+)/aws4_request"
)
_PRESIGNED = re.compile(r"([^/]+)/((?:[^/]+/)*)([^/]+)/aws4_request")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")


def service(environ: Mapping[str, Any]) -> str:
    """Return the AWS service that a request is signed for, or an empty string."""
    return _credential(environ)[1]


def access_key(environ: Mapping[str, Any]) -> str:
    """Return the access key that a request names, or an empty string."""
    return _credential(environ)[0]


def region(environ: Mapping[str, Any]) -> str:
    """Return the region that a request is signed for, or an empty string."""
    return _credential(environ)[2]


def request_id(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the headers with a new id, which clients expect in every answer of AWS."""
    name = "x-amz-request-id" if service(environ) == "s3" else "x-amzn-RequestId"
    return [(name, str(uuid.uuid4()))]


def refusal(
    environ: Mapping[str, Any], access_key: str, is_of_job: Callable[[str], bool] = lambda _: False
) -> Response | None:
    """Return the answer to a request that must not get in, or None if it gets in.

    A GET of `/` without a signature is answered with what this is.

    Args:
        environ: the request, as WSGI has it; SERVER_PORT is the port on which we listen.
        access_key: the key that a request must name.
        is_of_job: whether a key is of a job that runs; it opens `keys.SERVICES` only.
    """
    host, port = environ.get("HTTP_HOST", ""), environ["SERVER_PORT"]
    if host not in (f"{HOST}:{port}", f"localhost:{port}"):
        return _refuse(environ, "AccessDenied", f"Use {HOST}:{port} as the Host, not {host!r}")
    if "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE") in _FOREIGN_SITES:
        return _refuse(environ, "AccessDenied", "Web pages have no access")
    if environ["REQUEST_METHOD"] == "OPTIONS":
        return _refuse(environ, "AccessDenied", "OPTIONS is off: web pages have no access")
    key = _credential(environ)[0]
    if not key:
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"] == "/":
            return _about(environ)
        if environ.get("CONTENT_TYPE", "").startswith("multipart/form-data"):
            message = "Forms (POST) are not emulated: send the object to a presigned PUT address"
            return _refuse(environ, "AccessDenied", message)
        return _refuse(environ, "MissingAuthenticationToken", "The request has no access key")
    if is_of_job(key):
        if (wanted := service(environ)) not in SERVICES:
            return _refuse(environ, "AccessDenied", f"A job's key is not for {wanted}")
    elif not hmac.compare_digest(key.encode(), access_key.encode()):
        message = (
            "The access key is not this emulator's: `python -m emulator status` prints the key"
        )
        return _refuse(environ, _wrong_key_code(environ), message)
    if "HTTP_AUTHORIZATION" not in environ and _has_expired(environ):
        return _refuse(environ, "AccessDenied", "Request has expired")
    if not environ.get("RAW_URI", "/").startswith("/"):
        return _refuse(environ, "AccessDenied", "The request's target must be a path")
    is_reset = environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] == RESET
    if environ["PATH_INFO"].startswith(_OFF) and not is_reset:
        return _refuse(environ, "AccessDenied", f"{environ['PATH_INFO']!r} is off")
    return None


def _about(environ: Mapping[str, Any]) -> Response:
    """Say what this is: as a page for browsers, as text for all others."""
    if "text/html" in environ.get("HTTP_ACCEPT", ""):
        return Response(ABOUT_PAGE, content_type="text/html; charset=utf-8")
    return Response(ABOUT, content_type="text/plain; charset=utf-8")


def _credential(environ: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the access key, service and region that a request names; empty strings without."""
    if "HTTP_AUTHORIZATION" in environ:
        return _scope(_SIGNED.match(environ["HTTP_AUTHORIZATION"]))
    query = parse_qs(environ.get("QUERY_STRING", ""))
    if "X-Amz-Credential" in query:
        return _scope(_PRESIGNED.fullmatch(query["X-Amz-Credential"][0]))
    # The older form of presigned URLs, which botocore still makes for S3.
    return (query["AWSAccessKeyId"][0], "s3", "") if "AWSAccessKeyId" in query else ("", "", "")


def _has_expired(environ: Mapping[str, Any]) -> bool:
    """Whether the time of a presigned address has passed, if it has one."""
    query = {name: given[0] for name, given in parse_qs(environ.get("QUERY_STRING", "")).items()}
    try:
        if "X-Amz-Credential" not in query:  # the older form has the moment itself
            return time.time() > float(query["Expires"])
        signed = dt.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
        return time.time() > signed.timestamp() + float(query["X-Amz-Expires"])
    except KeyError:
        return False
    except ValueError:
        return True


def _scope(found: re.Match[str] | None) -> tuple[str, str, str]:
    if not found:
        return "", "", ""
    name = found[2].rstrip("/").rpartition("/")[2]
    return found[1], found[3].lower(), name if _REGION.fullmatch(name) else ""


def _is_json(environ: Mapping[str, Any]) -> bool:
    return "HTTP_X_AMZ_TARGET" in environ or service(environ) == "sagemaker"


def _wrong_key_code(environ: Mapping[str, Any]) -> str:
    if _is_json(environ):
        return "UnrecognizedClientException"
    return "InvalidAccessKeyId" if service(environ) == "s3" else "InvalidClientTokenId"


def _refuse(environ: Mapping[str, Any], code: str, message: str) -> Response:
    return failure(environ, code, message, HTTPStatus.FORBIDDEN, as_json=_is_json(environ))


def failure(
    environ: Mapping[str, Any], code: str, message: str, status: int, *, as_json: bool | None = None
) -> Response:
    """Return an error in the form that the request's service has.

    Args:
        environ: the request.
        code: the error's name.
        message: for the caller.
        status: the HTTP status.
        as_json: whether the service speaks JSON; else its request says so.
    """
    if as_json is None:
        is_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
        as_json = service(environ) not in ("s3", "") and not is_form
    if as_json:
        body, kind = json.dumps({"__type": code, "message": message}), "application/x-amz-json-1.1"
    else:
        body, kind = error_xml(code, message, service(environ)), "application/xml"
    response = Response(body, status=status, content_type=kind)
    response.headers["x-amzn-ErrorType"] = code
    return response


def error_xml(code: str, message: str, service_name: str) -> str:
    """Return an error as XML: S3 has a form of its own."""
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if service_name in ("s3", ""):
        return f"<Error>{error}<RequestId>emulator</RequestId></Error>"
    return (
        f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error>"
        "<RequestId>emulator</RequestId></ErrorResponse>"
    )

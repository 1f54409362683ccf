"""What nginx refuses itself, in the JSON of all errors."""

from serve.errors import RequestError
from serve.front.headers import REQUEST_ID
from serve.settings import Settings

ANSWER_WITHIN_S = 65  # SageMaker gives a model 60 seconds to answer
_HEADER_LINE = 3072  # bytes, as in template.py

_ROUTES = "the routes are GET /ping, POST /invocations and GET /execution-parameters"
_ROUTES_OF_MANY = (
    "the routes are GET /ping, GET and POST /models, GET and DELETE /models/NAME and "
    "POST /models/NAME/invoke"
)


def errors(settings: Settings) -> dict[str, RequestError]:
    """Return nginx's own error answers, by the name of their location."""
    routes = _ROUTES_OF_MANY if settings.multi_model else _ROUTES
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
        "404": RequestError(404, "no such path", routes),
        "405": RequestError(405, "method not allowed", routes),
        "408": RequestError(408, "the request did not arrive in time", "send it again"),
        "412": RequestError(
            412,
            "a condition of the request does not hold",
            "leave If-Match and If-Unmodified-Since out",
        ),
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
            504, f"no answer within {ANSWER_WITHIN_S} seconds", "send it again, or fewer pictures"
        ),
        "silent": RequestError(503, "the supervisor does not answer", "see the log"),
    }


def location(name: str, error: RequestError) -> str:
    """Return the location of nginx that answers with an error."""
    body = error.body("$kennel_request_id").decode().strip()
    assert not set(body) & set("'\\"), "nginx would need these escaped"
    retry = "add_header Retry-After 2 always; " if error.code == 503 else ""
    methods = "add_header Allow $kennel_methods always; " if error.code == 405 else ""
    # A location with its own add_header does not inherit the server's.
    request_id = f"add_header {REQUEST_ID} $kennel_request_id always; "
    place = f"= {name} {{ internal;" if name.startswith("/") else f"@{name} {{"
    return f"    location {place} {request_id}{retry}{methods}return {error.code} '{body}'; }}"

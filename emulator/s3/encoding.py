"""`encoding-type=url` of ListObjectVersions, which moto does not have.

Without it, a key with a control character makes XML that no parser reads.
"""

import re
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import unescape

from werkzeug.test import run_wsgi_app

from emulator.s3.request import Request

_NAMES = re.compile(r"<(Key|Prefix|Delimiter|KeyMarker|NextKeyMarker)>([^<]*)</\1>")
_START = re.compile("<ListVersionsResult[^>]*>")
_QUOTES = {"&quot;": '"', "&apos;": "'", "&#39;": "'"}


def is_wanted(request: Request) -> bool:
    """Whether a request asks moto for a list with encoded names."""
    lists = request.method == "GET" and not request.place.key and "versions" in request.query
    return lists and request.query.get("encoding-type") == "url"


def encoding(moto: Callable[[dict[str, Any], Any], Iterable[bytes]]) -> Callable[..., Any]:
    """Return moto's application, with the names of its answer in percent-encoding."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        pieces, status, headers = run_wsgi_app(moto, environ, buffered=True)
        body = b"".join(pieces)
        if status.startswith("200"):
            text = _NAMES.sub(_encoded, body.decode(errors="surrogatepass"))
            body = _START.sub(r"\g<0><EncodingType>url</EncodingType>", text, count=1).encode()
        headers["Content-Length"] = str(len(body))
        start(status, list(headers))
        return [body]

    return answer


def _encoded(found: re.Match[str]) -> str:
    name = urllib.parse.quote(unescape(found[2], _QUOTES), errors="surrogatepass")
    return f"<{found[1]}>{name}</{found[1]}>"

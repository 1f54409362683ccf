"""A worker's reply to the model server's Java, encoded so that Java 1.1.11 can always read it.

Java decodes a reply again whenever more of it arrives. Two of its reads do not check that all bytes
have arrived: the map of response headers (CodecUtils.readMap) and each request's status
(ModelResponseDecoder.decode). If a read ends in one of them, Java drops the worker and the whole
batch fails with 500. Under load this happened once in some ten thousand requests.
"""

import struct
from collections.abc import Mapping, Sequence

import mms.service
from mms.context import Context

# Java's reads end at multiples of 16 bytes: so do Netty's buffers (AdaptiveRecvByteBufAllocator)
# and the pieces into which Linux splits a send() on a unix socket.
_READ = 16
_STATUS = 4  # bytes


def encode(
    bodies: Sequence[bytes], request_ids: Mapping[int, str], context: Context, message: str
) -> bytes:
    """Write the reply to a batch.

    No response headers are sent. Spaces after the content type move each status away from the end
    of a read; HTTP ignores them.

    Args:
        bodies: the answers, in the order of the batch.
        request_ids: MMS's id for each position in the batch.
        context: has the status, phrase and content type of each answer.
        message: about the whole batch.

    Source: mms/protocol/otf_message_handler.py, create_predict_response.
    """
    reply = bytearray(struct.pack("!i", 200) + _text(message))
    for position, body in enumerate(bodies):
        code, phrase = context.get_response_status(position)
        content_type = context.get_response_content_type(position) or ""
        reply += _text(request_ids[position])
        unpadded = len(reply) + 4 + len(content_type.encode())
        reply += _text(content_type + " " * _padding(unpadded))
        reply += struct.pack("!i", code) + _text(phrase or "")
        reply += struct.pack("!i", 0)  # response headers
        reply += struct.pack("!i", len(body)) + body
    return bytes(reply + struct.pack("!i", -1))


def _padding(offset: int) -> int:
    """Return how many spaces move a status at `offset` so that no read ends before or in it."""
    return next(n for n in range(_READ) if 0 < (offset + n) % _READ <= _READ - _STATUS)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!i", len(encoded)) + encoded


def install() -> None:
    """Make MMS's worker write replies with `encode`; a failed batch is written as before."""
    original = mms.service.create_predict_response

    def create_predict_response(
        ret: Sequence[bytes] | None,
        req_id_map: Mapping[int, str],
        message: str,
        code: int,
        context: Context | None = None,
    ) -> bytes:
        if ret is None or context is None:
            failed: bytes = original(ret, req_id_map, message, code, context)
            return failed
        return encode(ret, req_id_map, context, message)

    mms.service.create_predict_response = create_predict_response

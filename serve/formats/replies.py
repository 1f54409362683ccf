"""A worker's reply to the model server's Java, laid out so that Java 1.1.11 can always read it.

Java decodes anew whenever more of a reply arrives, and two of its reads do not check that all bytes
are there: the map of response headers (CodecUtils.readMap) and each request's status
(ModelResponseDecoder.decode). Where a reply is cut in one of them, the worker is dropped and its
whole batch fails with 500: with batches under load, every few ten thousand requests.
"""

import struct
from collections.abc import Mapping, Sequence

import mms.service
from mms.context import Context

# Java's reads end at multiples of 16 bytes: Netty's buffers have such sizes
# (AdaptiveRecvByteBufAllocator), and so have the pieces in which Linux passes on what one send()
# wrote to a unix socket.
_READ = 16
_STATUS = 4  # bytes


def encode(
    bodies: Sequence[bytes], request_ids: Mapping[int, str], context: Context, message: str
) -> bytes:
    """Write the reply to a batch.

    No response headers are sent. Each status is kept off the ends of Java's reads by blanks after
    the content type, which HTTP does not count as part of it.

    Args:
        bodies: the answers, in the order of the batch.
        request_ids: MMS's id for each place in the batch.
        context: holds each answer's status, phrase and content type.
        message: a word on the whole batch.

    Source: mms/protocol/otf_message_handler.py, create_predict_response.
    """
    reply = bytearray(struct.pack("!i", 200) + _text(message))
    for place, body in enumerate(bodies):
        code, phrase = context.get_response_status(place)
        content_type = context.get_response_content_type(place) or ""
        reply += _text(request_ids[place])
        unpadded = len(reply) + 4 + len(content_type.encode())
        reply += _text(content_type + " " * _blanks(unpadded))
        reply += struct.pack("!i", code) + _text(phrase or "")
        reply += struct.pack("!i", 0)  # response headers
        reply += struct.pack("!i", len(body)) + body
    return bytes(reply + struct.pack("!i", -1))


def _blanks(offset: int) -> int:
    """Return how far to move a status at `offset` so that no read ends before or inside it."""
    return next(n for n in range(_READ) if 0 < (offset + n) % _READ <= _READ - _STATUS)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!i", len(encoded)) + encoded


def install() -> None:
    """Have MMS's worker write its replies with `encode`; a failed batch it writes as before."""
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

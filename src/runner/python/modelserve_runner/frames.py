"""The wire format of channels: what docs/channel.md describes and src/channel/frames.ts says in TypeScript."""

import json
import struct

PROTOCOL_VERSION = 1
HEADER = struct.Struct(">IBBI")
HEADER_BYTES = HEADER.size
MAX_PAYLOAD_BYTES = 64 * 1024
#: How much a sender may have unacknowledged on one stream and direction before the receiver grants more.
INITIAL_WINDOW_BYTES = 1024 * 1024

HELLO = 1
REQUEST = 2
DATA = 3
RESPONSE = 4
WINDOW = 5
CANCEL = 6
REFUSE = 7
FAILED = 8
PING = 9
PONG = 10
GOAWAY = 11
CONTROL = 12
RESULT = 13
NOTIFY = 14

#: Flag: no more data follows from this side on this stream.
END = 1


class FrameError(Exception):
    """What a peer sent breaks the protocol: the connection cannot be trusted any further and is closed."""


def encode_frame(kind, flags, stream, payload=b""):
    """Return header and payload of one frame as bytes; ``struct.error`` or ValueError for what does not fit."""
    size = len(payload)
    if size > MAX_PAYLOAD_BYTES:
        raise ValueError("frame payload of %d bytes is over the limit of %d" % (size, MAX_PAYLOAD_BYTES))
    return b"".join((HEADER.pack(size, kind, flags, stream), payload))


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


def encode_json(value):
    """Return the bytes of a JSON payload."""
    return _encode(value).encode("utf-8", "backslashreplace")


def decode_json(payload):
    """Return the object in a JSON payload.

    Raises FrameError when it is not a JSON object.
    """
    try:
        value = _decode(str(payload, "utf-8"))
    except ValueError as error:
        raise FrameError("payload is not JSON: %s" % error)
    if not isinstance(value, dict):
        raise FrameError("payload is JSON, but not an object")
    return value


class FrameDecoder:
    """Cuts a byte stream into frames, however it was split on its way."""

    def __init__(self):
        self._pending = b""

    def feed(self, chunk):
        """Yield the frames that are complete now, as (type, flags, stream, payload) tuples; to be iterated to its end.

        Raises FrameError when a length is over the limit.
        """
        received = self._pending + chunk if self._pending else chunk
        offset = 0
        while len(received) - offset >= HEADER_BYTES:
            size, kind, flags, stream = HEADER.unpack_from(received, offset)
            if size > MAX_PAYLOAD_BYTES:
                raise FrameError("frame of %d bytes: not a modelserve channel?" % size)
            start = offset + HEADER_BYTES
            if len(received) < start + size:
                break
            offset = start + size
            yield kind, flags, stream, received[start:offset]
        self._pending = received[offset:]

"""The wire format of channels: what docs/channel.md describes and src/channel/frames.ts says in TypeScript."""

import json
import struct

PROTOCOL_VERSION = 1
HEADER = struct.Struct(">IBBI")
HEADER_BYTES = HEADER.size
MAX_PAYLOAD_BYTES = 64 * 1024
#: So much of a data frame is large: it is handed on in parts, as views, and sent without being joined to its header.
PIECE_BYTES = 4096
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


def encode_header(kind, flags, stream, size):
    """Return the header of a frame; ``struct.error`` or ValueError for what does not fit."""
    if size > MAX_PAYLOAD_BYTES:
        raise ValueError("frame payload of %d bytes is over the limit of %d" % (size, MAX_PAYLOAD_BYTES))
    return HEADER.pack(size, kind, flags, stream)


def encode_frame(kind, flags, stream, payload=b""):
    """Return header and payload of one frame as bytes; raises as encode_header does."""
    return b"".join((encode_header(kind, flags, stream, len(payload)), payload))


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
    """Cuts a byte stream into frames, however it was split on its way.

    Of a large data frame each part is handed on when it comes, as a data frame of its own, END on the last of them:
    joining them would copy nearly every body once more.
    """

    def __init__(self):
        self._pending = b""
        #: what is left of a data frame whose beginning was handed on
        self._owed = 0
        self._owed_flags = 0
        self._owed_stream = 0

    def feed(self, chunk):
        """Yield what is complete now, as (type, flags, stream, payload) tuples; to be iterated to its end.

        A payload is bytes, or of large data frames a view of them. Raises FrameError when a length is over the limit.
        """
        received = self._pending + chunk if self._pending else chunk
        self._pending = b""
        offset = 0
        if self._owed:
            if len(received) < min(PIECE_BYTES, self._owed):
                self._pending = received
                return
            offset = min(len(received), self._owed)
            yield self._part(memoryview(received)[:offset])
        while len(received) - offset >= HEADER_BYTES:
            size, kind, flags, stream = HEADER.unpack_from(received, offset)
            if size > MAX_PAYLOAD_BYTES:
                raise FrameError("frame of %d bytes: not a modelserve channel?" % size)
            start = offset + HEADER_BYTES
            end = start + size
            if len(received) < end:
                if kind != DATA or len(received) - start < PIECE_BYTES:
                    break
                self._owed, self._owed_flags, self._owed_stream = size, flags, stream
                yield self._part(memoryview(received)[start:])
                return
            offset = end
            is_large = size >= PIECE_BYTES and kind == DATA
            yield kind, flags, stream, memoryview(received)[start:end] if is_large else received[start:end]
        self._pending = received[offset:]

    def _part(self, payload):
        self._owed -= len(payload)
        return DATA, self._owed_flags & ~END if self._owed else self._owed_flags, self._owed_stream, payload

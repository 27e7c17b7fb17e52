"""The items of a generator as bytes: lines of JSON, text, bytes, or server-sent events where the client asks for them."""

from .encoding import encode_result

_EVENTS = "text/event-stream"


def layout_of(answer, head):
    """Return how the items of an answer are laid out; response objects lay out their own."""
    if not answer.headers:
        for name, value in head["headers"]:
            if name.lower() == "accept" and _EVENTS in value.lower():
                return Events()
    return Plain()


class Plain:
    """Text and bytes as they are, anything else as a line of JSON; the first item decides what the body is called."""

    def __init__(self):
        self._lines = False

    def begin(self, answer, first):
        """Complete the headers, and return the bytes of the first item; raises UnencodableError."""
        piece = self.encode(first)
        if not any(name == "content-type" for name, _ in answer.headers):
            self._lines = not isinstance(first, str) and not _is_binary(first)
            kind = ("application/x-ndjson" if self._lines else "application/octet-stream" if _is_binary(first)
                    else "text/plain; charset=utf-8")
            answer.headers.append(("content-type", kind))
        return piece

    def encode(self, item):
        """Return the bytes of one item; raises UnencodableError."""
        if isinstance(item, str):
            return item.encode("utf-8", "replace")
        if _is_binary(item):
            return bytes(item)
        return encode_result(item) + b"\n"

    def failure(self, error):
        """Return what a client that reads line by line gets before the answer is broken off; text has no place for it."""
        return encode_result(error) + b"\n" if self._lines else b""


class Events:
    """Each item an event: text as its data, bytes as the finished event, anything else as JSON."""

    def begin(self, answer, first):
        """Complete the headers, and return the bytes of the first event; raises UnencodableError."""
        piece = self.encode(first)
        answer.headers += [("content-type", _EVENTS), ("cache-control", "no-cache"), ("x-accel-buffering", "no")]
        return piece

    def encode(self, item):
        """Return the bytes of one event; raises UnencodableError."""
        if _is_binary(item):
            return bytes(item)
        if isinstance(item, str):
            lines = item.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            return b"".join(b"data: %s\n" % line.encode("utf-8", "replace") for line in lines) + b"\n"
        return b"data: %s\n\n" % encode_result(item)

    def failure(self, error):
        """Return the event that says why no more come."""
        return b"event: error\ndata: %s\n\n" % encode_result(error)


def _is_binary(value):
    return isinstance(value, (bytes, bytearray, memoryview))

"""One agent or ingress on the socket: its frames in, frames out. Runs in the reader thread."""

import asyncio
import sys

from . import frames
from .call import Call, check_head

#: The socket is not written to while it holds more than this.
WRITE_BUFFER_BYTES = 256 * 1024
#: A peer that lets this much pile up does not read: data waits for its window, so all of this is small frames.
MAX_BACKLOG_BYTES = 8 * 1024 * 1024


class Connection(asyncio.Protocol):
    """``role`` is None until the peer's hello. ``paused`` is whether the socket takes no more data for now."""

    def __init__(self, replica):
        self.role = None
        self.paused = False
        self.transport = None
        self._replica = replica
        self._decoder = frames.FrameDecoder()
        self._calls = {}
        self._unsent = []
        self._handlers = {
            frames.REQUEST: self._on_request,
            frames.DATA: self._on_data,
            frames.WINDOW: self._on_window,
            frames.CANCEL: self._on_cancel,
            frames.PING: self._on_ping,
            frames.CONTROL: self._on_control,
        }

    def connection_made(self, transport):
        """asyncio: the peer is here."""
        self.transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._replica.connected(self)

    def connection_lost(self, error):
        """asyncio: the peer has gone; so has everybody who waited behind it."""
        self._replica.disconnected(self)
        for call in list(self._calls.values()):
            call.drop()

    def pause_writing(self):
        """asyncio: the socket's buffer is full."""
        self.paused = True

    def resume_writing(self):
        """asyncio: the socket takes more."""
        self.paused = False
        for call in list(self._calls.values()):
            call.pump()

    def data_received(self, received):
        """asyncio: bytes of some frames."""
        try:
            for kind, flags, stream, payload in self._decoder.feed(received):
                if self.transport.is_closing():
                    return
                if self.role is None:
                    self._on_first_frame(kind, payload)
                elif kind in self._handlers:
                    self._handlers[kind](flags, stream, payload)
        except frames.FrameError as error:
            sys.stderr.write("modelserve: a connection (%s) was closed: %s\n" % (self.role or "no hello yet", error))
            self.transport.abort()

    def send(self, kind, flags, stream, payload=b""):
        """Send a frame, together with what else is sent in this turn of the loop."""
        if self.transport.is_closing():
            return
        if not self._unsent:
            self._replica.loop.call_soon(self._flush)
        self._unsent.append(frames.encode_frame(kind, flags, stream, payload))

    def send_json(self, kind, flags, stream, value):
        """Send a frame with a JSON payload."""
        self.send(kind, flags, stream, frames.encode_json(value))

    def forget(self, stream):
        """The stream has ended."""
        self._calls.pop(stream, None)

    def close(self):
        """Close after what was sent has left."""
        self._flush()
        self.transport.close()

    def _flush(self):
        unsent, self._unsent = self._unsent, []
        if unsent and not self.transport.is_closing():
            self.transport.write(b"".join(unsent))
            if self.transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
                self.transport.abort()

    def _on_first_frame(self, kind, payload):
        if kind != frames.HELLO:
            raise frames.FrameError("frame of type %d before hello" % kind)
        hello = frames.decode_json(payload)
        if hello.get("protocol") != frames.PROTOCOL_VERSION:
            reason = "protocol %s is not spoken here, replica %s speaks %d" % (
                hello.get("protocol"), self._replica.launch.replica, frames.PROTOCOL_VERSION)
            self.send_json(frames.GOAWAY, 0, 0, {"reason": reason})
            self.close()
            return
        self.role = str(hello.get("role"))
        self._replica.greeted(self)

    def _on_request(self, flags, stream, payload):
        self._check_new(stream)
        head = frames.decode_json(payload)
        check_head(head)
        reason = self._replica.refusal(head)
        if reason is not None:
            self.send_json(frames.REFUSE, 0, stream, {"reason": reason})
            return
        call = Call(self, stream, head, self._replica.calls)
        self._calls[stream] = call
        self._replica.calls.accept(call)
        if flags & frames.END:
            call.receive(b"", True)

    def _on_data(self, flags, stream, payload):
        call = self._calls.get(stream)
        if call is not None:  # else refused, cancelled or failed meanwhile
            call.receive(payload, bool(flags & frames.END))

    def _on_window(self, flags, stream, payload):
        if len(payload) != 4:
            raise frames.FrameError("window of %d bytes, expected 4" % len(payload))
        call = self._calls.get(stream)
        if call is not None:
            call.grant(int.from_bytes(payload, "big"))

    def _on_cancel(self, flags, stream, payload):
        call = self._calls.get(stream)
        if call is not None:
            call.drop()

    def _on_ping(self, flags, stream, payload):
        self.send(frames.PONG, 0, 0, payload)

    def _on_control(self, flags, stream, payload):
        self._check_new(stream)
        request = frames.decode_json(payload)

        def answer(ok, error=None, unsupported=False):
            result = {"ok": ok}
            if error is not None:
                result["error"] = error
            if unsupported:
                result["unsupported"] = True
            if len(frames.encode_json(result)) > frames.MAX_PAYLOAD_BYTES:
                result["error"] = "…" + error[-frames.MAX_PAYLOAD_BYTES // 8:]
            self.send_json(frames.RESULT, frames.END, stream, result)

        self._replica.control(self.role, request, answer)

    def _check_new(self, stream):
        if stream == 0 or stream in self._calls:
            raise frames.FrameError("stream %d is in use" % stream)

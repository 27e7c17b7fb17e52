"""One agent or ingress on the socket: its frames in, frames out. Guarded by the replica's lock."""

from . import frames
from .call import Call, check_head
from .notes import note, note_failure
from .wire import Wire


class Connection:
    """``role`` is None until the peer's hello. ``at_home`` is whether the main thread reads it (see relief.Relief)."""

    def __init__(self, peer, replica):
        self.role = None
        self.at_home = False
        #: it was told to send nothing new, and has not shown yet that it knows
        self.unaware = False
        self.wire = Wire(peer, self._watch_writable)
        self._replica = replica
        self._guard = replica.guard
        self._decoder = frames.FrameDecoder()
        self._calls = {}
        self._closing = False
        self._handlers = {
            frames.REQUEST: self._on_request,
            frames.DATA: self._on_data,
            frames.WINDOW: self._on_window,
            frames.CANCEL: self._on_cancel,
            frames.PING: self._on_ping,
            frames.PONG: self._on_pong,
            frames.CONTROL: self._on_control,
        }

    @property
    def paused(self):
        """Whether the socket takes no more data for now."""
        return self.wire.paused

    def readable(self):
        """Bytes have come, or the end: called by the thread that watches, which does not hold the lock."""
        with self._guard.lock:
            received = self.wire.receive()
            if received:
                self._take(received)
            elif received is not None:
                self.lose()
            self._guard.flush()

    def writable(self):
        """The socket takes more: called by the reader thread."""
        with self._guard.lock:
            self.wire.resume()
            if not self.wire.paused:
                for call in list(self._calls.values()):
                    call.pump()
            if self._closing and self.wire.is_empty:
                self.wire.finish()
            self._guard.flush()

    def put(self, frame):
        """Send an encoded frame, or several, together with what else is sent in this turn."""
        if not self.wire.closed and self.wire.put(frame):
            self._guard.has_unsent(self)

    def send(self, kind, flags, stream, payload=b""):
        """Send a frame. A large payload is not copied: it must not change afterwards."""
        if len(payload) < frames.PIECE_BYTES:
            self.put(frames.encode_frame(kind, flags, stream, payload))
        else:
            self.put(frames.encode_header(kind, flags, stream, len(payload)))
            self.put(payload)

    def send_json(self, kind, flags, stream, value):
        """Send a frame with a JSON payload."""
        self.send(kind, flags, stream, frames.encode_json(value))

    def flush(self):
        """Let the frames leave that were sent."""
        self.wire.flush()
        if self.wire.closed:
            self.lose()

    def go_away(self, reason):
        """Tell the peer to send nothing new. What an ingress had sent before it knew comes before its pong."""
        self.send_json(frames.GOAWAY, 0, 0, {"reason": reason})
        if self.role == "ingress":
            self.unaware = True
            self.send(frames.PING, 0, 0, b"go away?")

    def forget(self, stream):
        """The stream has ended."""
        self._calls.pop(stream, None)

    def close(self):
        """End after what was sent has left; the connection is over when the peer has ended it as well.

        It may be writing at this moment: a write that fails would make it throw away what it has not read yet.
        """
        self._closing = True
        self.flush()
        if self.wire.is_empty:
            self.wire.finish()

    def lose(self):
        """The peer has gone; so has everybody who waited behind it."""
        self.wire.shut()
        if self not in self._replica.connections:
            return
        self._replica.disconnected(self)
        for call in list(self._calls.values()):
            call.drop()

    def _watch_writable(self, wanted):
        self._guard.post(self._replica.relief.watch_writable, self, wanted)

    def _take(self, received):
        handlers = self._handlers
        try:
            for kind, flags, stream, payload in self._decoder.feed(received):
                if self.wire.closed:
                    return
                if self.role is None:
                    self._on_first_frame(kind, payload)
                elif kind in handlers:
                    handlers[kind](flags, stream, payload)
        except frames.FrameError as error:
            note("modelserve: a connection (%s) was closed: %s" % (self.role or "no hello yet", error))
            self.lose()
        except Exception as error:  # the field of a payload was of no use: this thread serves others, too
            note_failure("modelserve: a connection (%s) was closed" % (self.role or "no hello yet"), error)
            self.lose()

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
            call.receive(payload, flags & frames.END)

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

    def _on_pong(self, flags, stream, payload):
        if self.unaware:
            self.unaware = False
            self._replica.on_aware()

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

"""One request, from its first frame to the last frame of its answer. Owned by the reader thread."""

from .frames import END, FAILED, FrameError, INITIAL_WINDOW_BYTES, REFUSE, RESPONSE, WINDOW, encode_json
from .outbound import Outbound

RECEIVING = "receiving"  # the body is on its way
WAITING = "waiting"      # for its turn in user code
RUNNING = "running"      # in user code
ANSWERED = "answered"    # user code is done, the answer is on its way
OVER = "over"

_HEAD_FIELDS = ("id", "replica", "method", "path", "query", "headers", "timeout_ms")


def check_head(head):
    """Raise FrameError when a request's head lacks a field."""
    missing = [name for name in _HEAD_FIELDS if name not in head]
    if missing:
        raise FrameError("head of a request without %s" % ", ".join(missing))


class Call:
    """Threads that run user code read ``head``, ``body()`` and ``gone``; everything else belongs to the reader."""

    __slots__ = ("head", "gone", "phase", "_connection", "_stream", "_calls", "_chunks", "_ungranted", "_outbound",
                 "_timer")

    #: May run beside other calls (see calls.Hook).
    alone = False

    def __init__(self, connection, stream, head, calls):
        self.head = head
        self.gone = False
        self.phase = RECEIVING
        self._connection = connection
        self._stream = stream
        self._calls = calls
        self._chunks = []
        self._ungranted = 0
        self._outbound = None
        self._timer = calls.loop.call_later(max(0, head["timeout_ms"]) / 1000, self._expire)

    def receive(self, payload, last):
        """Take a part of the body.

        It is collected here, so that a slow client holds up no user code. How much that can be is the ingress' body
        limit times max_ongoing.
        """
        if self.phase != RECEIVING:
            return
        self._chunks.append(payload)
        self._ungranted += len(payload)
        if last:
            self.phase = WAITING
            self._calls.enqueue(self)
        elif self._ungranted >= INITIAL_WINDOW_BYTES // 2:
            self._connection.send(WINDOW, 0, self._stream, self._ungranted.to_bytes(4, "big"))
            self._ungranted = 0

    def body(self):
        """Return the whole body."""
        if len(self._chunks) > 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

    def begin(self):
        """Its turn has come: from here on user code may have seen it."""
        self.phase = RUNNING
        self._timer.cancel()

    def answer(self, answer):
        """User code is done and this is the whole answer."""
        if not self.gone:
            self._connection.send_json(RESPONSE, 0 if answer.body else END, self._stream, answer.head())
            if answer.body:
                self._open()
        self.finish(answer.body)

    def open_stream(self, answer):
        """Send the head of an answer whose body follows piece by piece."""
        if not self.gone:
            self._connection.send_json(RESPONSE, 0, self._stream, answer.head())
            self._open()

    def write(self, piece, go_on):
        """Send a piece; ``go_on()`` is called when the next one may come, at once when nobody reads any more."""
        if self.gone:
            go_on()
        else:
            self._outbound.write(piece, go_on)

    def break_off(self, code, info):
        """User code failed after its answer had begun."""
        if not self.gone:
            self._fail(code, info)
            self._give_up()
        self.finish()

    def finish(self, last_piece=b""):
        """User code is done with this call."""
        self.phase = ANSWERED
        self._calls.left_user_code(self)
        if self.gone or self._outbound is None:
            self._over()
        else:
            self._outbound.complete(last_piece)

    def grant(self, size):
        """The peer has room for ``size`` bytes more of the answer."""
        if self._outbound is not None:
            self._outbound.grant(size)

    def pump(self):
        """The socket takes more."""
        if self._outbound is not None:
            self._outbound.pump()

    def drop(self):
        """Nobody wants the answer any more: cancelled, or the connection is lost."""
        if self.gone:
            return
        self._give_up()
        if self.phase == RUNNING:
            self._calls.interrupt(self)
            return
        if self.phase == WAITING:
            self._calls.withdraw(self)
        self._over()

    def cut_off(self):
        """The replica ends: what user code has not seen may go elsewhere, the rest has failed."""
        if self.gone:
            return
        if self.phase in (RECEIVING, WAITING):
            self._connection.send_json(REFUSE, 0, self._stream, {"reason": "draining"})
        else:
            self._fail("REPLICA_STOPPED", "the replica was stopped and its grace for running calls is over")
        self.drop()

    def _expire(self):
        self._fail("DEADLINE", "the deadline of the request passed while it waited for its turn in the replica")
        self.drop()

    def _fail(self, code, info):
        self._connection.send(FAILED, 0, self._stream, encode_json({"code": code, "info": info}))

    def _open(self):
        self._outbound = Outbound(self._connection, self._stream, self._sent)

    def _sent(self):
        if self.phase == ANSWERED:
            self._over()

    def _give_up(self):
        self.gone = True
        self._timer.cancel()
        self._connection.forget(self._stream)
        if self._outbound is not None:
            self._outbound.give_up()

    def _over(self):
        if self.phase != OVER:
            self.phase = OVER
            self._timer.cancel()
            if not self.gone:  # else it was forgotten then, and the number may be another's by now
                self._connection.forget(self._stream)
            self._calls.over(self)

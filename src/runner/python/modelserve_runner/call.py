"""One request, from its first frame to the last frame of its answer. Guarded by the replica's lock."""

import time

from .frames import (DATA, END, FAILED, FrameError, HEADER, INITIAL_WINDOW_BYTES, MAX_PAYLOAD_BYTES, REFUSE, RESPONSE,
                     WINDOW)
from .outbound import Outbound

RECEIVING = "receiving"  # the body is on its way
WAITING = "waiting"      # for its turn in user code
RUNNING = "running"      # in user code
ANSWERED = "answered"    # user code is done, the answer is on its way
OVER = "over"

_HEAD_FIELDS = ("id", "replica", "method", "path", "query", "headers", "timeout_ms")
_NEVER = float("inf")


def check_head(head):
    """Raise FrameError when a request's head lacks a field."""
    for name in _HEAD_FIELDS:
        if name not in head:
            raise FrameError("head of a request without %s" % name)


class Call:
    """Threads that run user code read ``head``, ``body()`` and ``gone``, and write ``user_s``; everything else is done
    under the lock.

    ``deadline`` is when it is given up unless its turn has come.
    """

    __slots__ = ("head", "gone", "phase", "deadline", "waiting_since", "batch", "user_s", "_connection", "_stream", "_calls",
                 "_chunks", "_ungranted", "_outbound")

    #: May run beside other calls (see calls.Hook).
    alone = False

    def __init__(self, connection, stream, head, calls):
        self.head = head
        self.gone = False
        self.phase = RECEIVING
        self.deadline = time.monotonic() + head["timeout_ms"] / 1000
        self.waiting_since = 0.0
        self.batch = None
        self.user_s = 0.0  # in user code
        self._connection = connection
        self._stream = stream
        self._calls = calls
        self._chunks = []
        self._ungranted = 0
        self._outbound = None

    @property
    def is_moving(self):
        """Whether a part of its body or its answer is still to come."""
        return self.phase == RECEIVING or self._outbound is not None

    def receive(self, payload, last):
        """Take a part of the body.

        It is collected here, so that a slow client holds up no user code. How much that can be is the ingress' body
        limit times max_ongoing.
        """
        if self.phase != RECEIVING:
            return
        self._chunks.append(payload)
        if last:
            self.phase = WAITING
            if self._calls.batch_size is not None:
                self.waiting_since = time.monotonic()
            self._calls.enqueue(self)
            return
        self._ungranted += len(payload)
        if self._ungranted >= INITIAL_WINDOW_BYTES // 2:
            self._connection.send(WINDOW, 0, self._stream, self._ungranted.to_bytes(4, "big"))
            self._ungranted = 0

    def body(self):
        """Return the whole body."""
        if len(self._chunks) > 1 or type(self._chunks[0]) is memoryview:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

    def begin(self):
        """Its turn has come: from here on user code may have seen it."""
        self.phase = RUNNING
        self.deadline = _NEVER

    def answer(self, answer):
        """User code is done and this is the whole answer."""
        body = answer.body
        if self.gone:
            self.finish()
        elif len(body) <= MAX_PAYLOAD_BYTES and not self._connection.paused:
            self._answer_at_once(self._head_of(answer), body)
        else:
            self.open_stream(answer)
            self.finish(body)

    def open_stream(self, answer):
        """Send the head of an answer whose body follows piece by piece."""
        if not self.gone:
            self._connection.send(RESPONSE, 0, self._stream, self._head_of(answer))
            self._outbound = Outbound(self._calls.guard, self._connection, self._stream, self._sent)

    def measure(self, meter):
        """User code is done with it."""
        if self.user_s:
            meter.took(self.user_s)

    def write(self, piece, go_on):
        """Send a piece; return whether the next one may come now, else ``go_on()`` is called when it may."""
        return self.gone or self._outbound.write(piece, go_on)

    def break_off(self, code, info, last_piece=b""):
        """User code failed after its answer had begun: the client gets the last piece, but no proper end."""
        self.phase = ANSWERED
        if self.gone or self._outbound is None:
            self._over()
        else:
            self._outbound.complete(last_piece, failure={"code": code, "info": info})

    def finish(self, last_piece=b""):
        """User code is done with this call."""
        self.phase = ANSWERED
        if self.gone or self._outbound is None:
            self._over()
        else:
            self._outbound.complete(last_piece)

    def close(self):
        """User code is done with the batch that this was in: nobody waits for it any more, unless it was answered."""
        if self.phase == RUNNING:
            self.finish()

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

    def expire(self):
        """Its deadline has passed."""
        self._fail("DEADLINE", "the deadline of the request passed while it waited for its turn in the replica")
        self.drop()

    def _head_of(self, answer):
        head = answer.head()
        if "timed" in self.head:
            head = head[:-1] + b',"user_us":%d}' % int(self.user_s * 1000000)
        return head

    def _answer_at_once(self, head, body):
        # What Outbound would do, in one piece: of most answers this is all there is.
        stream = self._stream
        if body:
            self._connection.put(b"".join((HEADER.pack(len(head), RESPONSE, 0, stream), head,
                                           HEADER.pack(len(body), DATA, END, stream), body)))
        else:
            self._connection.send(RESPONSE, END, stream, head)
        self.phase = ANSWERED
        self._over()

    def _fail(self, code, info):
        self._connection.send_json(FAILED, 0, self._stream, {"code": code, "info": info})

    def _sent(self):
        if self.phase == ANSWERED:
            self._over()

    def _give_up(self):
        self.gone = True
        self.deadline = _NEVER
        self._connection.forget(self._stream)
        if self._outbound is not None:
            self._outbound.give_up()

    def _over(self):
        if self.phase != OVER:
            self.phase = OVER
            self.deadline = _NEVER
            if not self.gone:  # else it was forgotten then, and the number may be another's by now
                self._connection.forget(self._stream)
            self._calls.over(self)

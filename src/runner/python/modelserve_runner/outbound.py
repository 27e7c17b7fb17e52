"""One answer on its way out: what may leave now is the least of the peer's window and what the socket takes."""

from collections import deque

from .frames import DATA, END, FAILED, INITIAL_WINDOW_BYTES, MAX_PAYLOAD_BYTES

#: A producer of a stream is held up while more than this waits to leave.
STREAM_BUFFER_BYTES = 256 * 1024


class Outbound:
    """Guarded. ``on_sent`` is called once, when the last frame has left or was given up.

    What is written in one turn leaves in as few frames as hold it: a frame costs the ingress as much as some dozen
    small items.
    """

    __slots__ = ("_guard", "_connection", "_stream", "_credit", "_pieces", "_pending", "_complete", "_failure",
                 "_waiter", "_on_sent")

    def __init__(self, guard, connection, stream, on_sent):
        self._guard = guard
        self._connection = connection
        self._stream = stream
        self._credit = INITIAL_WINDOW_BYTES
        self._pieces = deque()
        self._pending = 0
        self._complete = False
        self._failure = None
        self._waiter = None
        self._on_sent = on_sent

    def write(self, piece, go_on):
        """Send bytes when there is room; return whether there was, else ``go_on()`` is called when the next may come."""
        if self._connection is None:
            return True
        if not self._pieces:
            self._guard.has_unsent(self)
        self._add(piece)
        if self._pending >= STREAM_BUFFER_BYTES:
            self.pump()
        if self._pending < STREAM_BUFFER_BYTES:
            return True
        self._waiter = go_on
        return False

    def complete(self, last_piece=b"", failure=None):
        """Send the last bytes, then the end or, as the client is to see it, a failure (a StreamFailure)."""
        self._complete = True
        self._failure = failure
        self._add(last_piece)
        self.pump()

    def grant(self, size):
        """The peer has room for ``size`` bytes more."""
        self._credit += size
        self.pump()

    def give_up(self):
        """Nobody reads this any more: drop what waits and let the producer find out."""
        self._pieces.clear()
        self._pending = 0
        self._connection = None
        self._wake()
        self._sent()

    def flush(self):
        """Send what was written in this turn."""
        self.pump()

    def pump(self):
        """Send what may leave now."""
        connection = self._connection
        if connection is None:
            return
        while self._pieces and self._credit > 0 and not connection.paused:
            piece = self._take(min(self._credit, MAX_PAYLOAD_BYTES))
            self._credit -= len(piece)
            self._pending -= len(piece)
            ends = self._complete and not self._pieces and self._failure is None
            connection.send(DATA, END if ends else 0, self._stream, piece)
            if ends:
                self._sent()
                return
        if self._pending < STREAM_BUFFER_BYTES:
            self._wake()
        if self._complete and not self._pieces:
            if self._failure is None:
                connection.send(DATA, END, self._stream)
            else:
                connection.send_json(FAILED, 0, self._stream, self._failure)
            self._sent()

    def _take(self, room):
        """Return the next bytes, at most ``room``."""
        pieces = self._pieces
        first = pieces.popleft()
        if len(first) > room:
            first = memoryview(first)
            pieces.appendleft(first[room:])
            return first[:room]
        taken = [first]
        room -= len(first)
        while pieces and len(pieces[0]) <= room:
            room -= len(pieces[0])
            taken.append(pieces.popleft())
        return b"".join(taken) if len(taken) > 1 else first

    def _add(self, piece):
        if piece:
            self._pieces.append(piece)
            self._pending += len(piece)

    def _wake(self):
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter()

    def _sent(self):
        done, self._on_sent = self._on_sent, None
        self._connection = None
        if done is not None:
            done()

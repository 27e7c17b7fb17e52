"""One answer on its way out: what may leave now is the least of the peer's window and what the socket takes."""

from collections import deque

from .frames import DATA, END, INITIAL_WINDOW_BYTES, MAX_PAYLOAD_BYTES

#: A producer of a stream is held up while more than this waits to leave.
STREAM_BUFFER_BYTES = 256 * 1024


class Outbound:
    """Used by the reader thread only. ``on_sent`` is called once, when the last frame has left or was given up."""

    __slots__ = ("_connection", "_stream", "_credit", "_pieces", "_pending", "_complete", "_waiter", "_on_sent")

    def __init__(self, connection, stream, on_sent):
        self._connection = connection
        self._stream = stream
        self._credit = INITIAL_WINDOW_BYTES
        self._pieces = deque()
        self._pending = 0
        self._complete = False
        self._waiter = None
        self._on_sent = on_sent

    def write(self, piece, go_on=None):
        """Send bytes when there is room; ``go_on()`` is called when the producer may give more."""
        if piece:
            self._pieces.append(memoryview(piece))
            self._pending += len(piece)
        self._waiter = go_on
        self.pump()

    def complete(self, last_piece=b""):
        """Send the last bytes; nothing more will be written."""
        self._complete = True
        self.write(last_piece)

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

    def pump(self):
        """Send what may leave now."""
        connection = self._connection
        if connection is None:
            self._wake()
            return
        while self._pieces and self._credit > 0 and not connection.paused:
            piece = self._pieces.popleft()
            size = min(len(piece), self._credit, MAX_PAYLOAD_BYTES)
            if size < len(piece):
                self._pieces.appendleft(piece[size:])
            self._credit -= size
            self._pending -= size
            last = self._complete and not self._pieces
            connection.send(DATA, END if last else 0, self._stream, piece[:size])
            if last:
                self._sent()
                return
        if self._pending < STREAM_BUFFER_BYTES:
            self._wake()
        if self._complete and not self._pieces:
            connection.send(DATA, END, self._stream)
            self._sent()

    def _wake(self):
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter()

    def _sent(self):
        done, self._on_sent = self._on_sent, None
        self._connection = None
        if done is not None:
            done()

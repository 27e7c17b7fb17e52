"""Bytes to and from one peer: a non-blocking socket, what it has not taken yet, and who hears of either."""

import socket
from collections import deque
from itertools import islice

#: The socket's owner is to give it no more data while it has this much to send.
WRITE_BUFFER_BYTES = 256 * 1024
#: Written at once when so much has gathered.
GATHER_BYTES = 512 * 1024
#: What the kernel may hold, where it lets this be chosen: each time it is full costs a turn of the reader thread.
SEND_BUFFER_BYTES = 1024 * 1024
#: Less than this is joined for one write, which costs less than naming the pieces to the kernel.
JOIN_BYTES = 16 * 1024
#: How many pieces Linux takes in one write.
MAX_PIECES = 1024
#: A peer that lets this much pile up does not read: data waits for its window, so all of this is small frames.
MAX_BACKLOG_BYTES = 8 * 1024 * 1024
#: Below the size from which malloc maps and unmaps memory for each read.
RECEIVE_BYTES = 64 * 1024


class Wire:
    """Guarded. ``paused`` is whether the socket takes no more data for now; ``watch_writable`` is called with a bool."""

    __slots__ = ("paused", "closed", "_socket", "_gathered", "_gathered_bytes", "_backlog", "_backlog_bytes",
                 "_watch_writable")

    def __init__(self, peer, watch_writable):
        peer.setblocking(False)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.paused = False
        self.closed = False
        self._socket = peer
        self._gathered = []
        self._gathered_bytes = 0
        self._backlog = deque()
        self._backlog_bytes = 0
        self._watch_writable = watch_writable

    def fileno(self):
        """Return the descriptor, -1 when it is closed."""
        return self._socket.fileno()

    def receive(self):
        """Return what has come, None when nothing has, ``b""`` when nothing will come any more."""
        try:
            return self._socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def put(self, piece):
        """Gather a piece for the next ``flush``; return whether it is the first."""
        gathered = self._gathered
        gathered.append(piece)
        self._gathered_bytes += len(piece)
        if self._gathered_bytes > GATHER_BYTES:
            self.flush()
            return False
        return len(gathered) == 1

    def flush(self):
        """Write what was gathered, as far as the socket takes it; the rest follows when it takes more."""
        gathered = self._gathered
        if self.closed or not gathered:
            return
        if self._gathered_bytes < JOIN_BYTES:
            gathered = [gathered[0] if len(gathered) == 1 else b"".join(gathered)]
        had_backlog = bool(self._backlog)
        self._backlog.extend(gathered)
        self._backlog_bytes += self._gathered_bytes
        self._gathered = []
        self._gathered_bytes = 0
        if not had_backlog:
            self._write()
            if not self._backlog:
                return
            self._watch_writable(True)
        self.paused = self._backlog_bytes > WRITE_BUFFER_BYTES
        if self._backlog_bytes > MAX_BACKLOG_BYTES:
            self.shut()

    def resume(self):
        """Write more of what the socket did not take."""
        if not self.closed:
            self._write()
        if not self._backlog:
            self._watch_writable(False)
        self.paused = self._backlog_bytes > WRITE_BUFFER_BYTES

    @property
    def is_empty(self):
        """Whether everything has been written."""
        return not self._backlog and not self._gathered

    def finish(self):
        """Tell the peer that nothing more comes; it may still send."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer was faster

    def shut(self):
        """End the connection for both sides; its reader then finds its end."""
        self.closed = True
        self._gathered = []
        self._drop_backlog()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster

    def close(self):
        """Let go of the descriptor; nobody may watch it any more."""
        self._socket.close()

    def _write(self):
        """Write what the socket takes of the backlog."""
        backlog = self._backlog
        while backlog:
            try:
                if len(backlog) == 1:
                    sent = self._socket.send(backlog[0])
                else:
                    sent = self._socket.sendmsg(islice(backlog, MAX_PIECES))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._drop_backlog()  # the peer has gone, which its reader finds out
                return
            self._backlog_bytes -= sent
            while backlog and sent >= len(backlog[0]):
                sent -= len(backlog.popleft())
            if sent:
                backlog[0] = memoryview(backlog[0])[sent:]
                return

    def _drop_backlog(self):
        self._backlog.clear()
        self._backlog_bytes = 0

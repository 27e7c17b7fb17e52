"""What two threads share: the lock over everything that is decided about calls, and the reader thread's event loop."""

import asyncio
import threading


class Guard:
    """Whoever touches replica, calls or connections holds ``lock``; no user code runs, and nothing waits, under it.

    Frames that were sent under the lock leave at ``flush``.
    """

    def __init__(self):
        self.lock = threading.RLock()
        self.loop = asyncio.new_event_loop()
        self._unsent = []

    def run(self, function, *args):
        """Call a function under the lock, then let its frames leave."""
        with self.lock:
            try:
                function(*args)
            finally:
                self.flush()

    def post(self, function, *args):
        """Do the same in the reader thread, soon; nothing happens when that has ended."""
        try:
            self.loop.call_soon_threadsafe(self.run, function, *args)
        except RuntimeError:
            pass  # the loop is closed: the process is about to end

    def later(self, delay_s, function, *args):
        """Do the same after a while; belongs to the reader thread. Returns a handle with ``cancel()``."""
        return self.loop.call_later(delay_s, self.run, function, *args)

    def has_unsent(self, sender):
        """Remember a connection, or an answer, until the next flush: its ``flush`` is called then."""
        self._unsent.append(sender)

    @property
    def is_flushed(self):
        """Whether everything has left that was sent."""
        return not self._unsent

    def flush(self):
        """Let the frames leave that were sent since the last time."""
        while self._unsent:  # what an answer flushes, its connection has to
            unsent, self._unsent = self._unsent, []
            for each in unsent:
                each.flush()

"""How the main thread waits for frames by itself (see relief.Relief): between calls, or on its event loop."""

import asyncio
import selectors
import socket
from collections import deque

from .notes import note


class SelectorHome:
    """For synchronous classes. ``post`` and ``wake`` are for any thread, the rest is the main thread's."""

    #: Nothing is read while a call runs.
    reads_between_calls_only = True

    def __init__(self):
        self.answered = 0
        self._posts = deque()
        self._waits = False
        self._selector = selectors.DefaultSelector()
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, lambda: self._bell.recv(64))

    def post(self, function, *args):
        """Call a function in the main thread, between two calls."""
        self._posts.append((function, args))
        self.wake()

    def wake(self):
        """Let ``wait`` return, if the main thread is there."""
        if self._waits:
            self._waits = False
            self._rope.send(b"\0")

    def answer(self, question):
        """The main thread is here."""
        self.answered = question

    def attach(self, connection):
        """Read this connection, too."""
        self._selector.register(connection.wire.fileno(), selectors.EVENT_READ, connection.readable)

    def detach(self, connection, then=None):
        """Read this connection no longer; then it may be closed."""
        self._selector.unregister(connection.wire.fileno())
        if then is not None:
            then()

    def run_posts(self):
        """Do what was posted."""
        while self._posts:
            function, args = self._posts.popleft()
            function(*args)

    def look(self):
        """Read what has come."""
        for key, _ in self._selector.select(0):
            key.data()

    def wait(self, todo):
        """Wait until something has come, and read it; return when something was posted or is ``todo`` as well."""
        self._waits = True
        found = self._selector.select(0 if self._posts or todo else None)
        self._waits = False
        for key, _ in found:
            key.data()


class LoopHome:
    """For asynchronous classes: their event loop reads between any two steps of their calls."""

    reads_between_calls_only = False

    def __init__(self, loop):
        self.answered = 0
        self._loop = loop
        self._connections = []

    def post(self, function, *args):
        """Call a function in the main thread, soon; nothing happens when its loop has ended."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            pass  # the process is about to end

    def answer(self, question):
        """The main thread is here."""
        self.answered = question

    def attach(self, connection):
        """Read this connection, too."""
        self._connections.append(connection)
        self._loop.add_reader(connection.wire.fileno(), connection.readable)

    def detach(self, connection, then=None):
        """Read this connection no longer; then it may be closed."""
        self._connections.remove(connection)
        self._loop.remove_reader(connection.wire.fileno())
        if then is not None:
            then()

    def look(self):
        """Read what has come."""
        for connection in list(self._connections):
            connection.readable()


def new_event_loop():
    """Return uvloop's loop if the environment has it, else asyncio's; says which in the log."""
    try:
        import uvloop
    except ImportError:
        note("modelserve: calls run on asyncio's event loop")
        return asyncio.new_event_loop()
    note("modelserve: calls run on uvloop %s" % uvloop.__version__)
    return uvloop.new_event_loop()

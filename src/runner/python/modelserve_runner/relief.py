"""Who reads the connections of ingresses, so that a request costs no switch of threads, and a busy thread no silence.

The main thread, which runs the user's code, reads them itself (it is their *home*): a request that it reads, it can
answer at once. While user code keeps it from coming back, the reader thread *relieves* it: it reads the same sockets
until the main thread is there again. Both may read at a time; the lock keeps bytes and frames in their order.

Whether it comes back is asked by a question that it answers between two calls, each tick: 20 ms while there are calls.
"""

#: While there are calls: relief comes within two of these.
TICK_S = 0.02
#: While there are none: the user's code may block its thread outside of calls, too.
QUIET_TICK_S = 0.25
#: So many ticks without a call are quiet.
QUIET_AFTER_TICKS = 50


class Relief:
    """Guarded; all but ``hurry`` belongs to the reader thread. A home has ``post attach detach`` and ``answered``."""

    def __init__(self, guard, calls):
        self._guard = guard
        self._calls = calls
        self._home = None
        self._connections = set()
        self._relieving = False
        self._asked = 0
        self._quiet_ticks = 0
        self._timer = None
        calls.on_busy = self.hurry

    def start(self):
        """Begin to tick."""
        self._timer = self._guard.later(QUIET_TICK_S, self._tick)

    def add(self, connection):
        """Read a new connection."""
        self._connections.add(connection)
        self._guard.loop.add_reader(connection.wire.fileno(), connection.readable)

    def greeted(self, connection):
        """Let the main thread read it from now on, if it is an ingress': an agent's controls are for this thread."""
        if self._home is None or connection.role == "agent" or connection.role is None or connection.at_home:
            return
        connection.at_home = True
        if not self._relieving:
            self._guard.loop.remove_reader(connection.wire.fileno())
        self._home.post(self._home.attach, connection)

    def settle(self, home):
        """Let ``home`` read what is an ingress', or, where it is None, this thread everything."""
        if home is self._home:
            return
        previous, self._home = self._home, home
        for connection in self._connections:
            if connection.at_home:
                connection.at_home = False
                previous.post(previous.detach, connection)
                self._guard.loop.add_reader(connection.wire.fileno(), connection.readable)
        self._relieving = False
        if home is not None:
            self._asked = home.answered
            for connection in self._connections:
                self.greeted(connection)

    def remove(self, connection):
        """The connection is over: nobody reads it any more, then its descriptor is closed."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._guard.loop.remove_reader(connection.wire.fileno())
        self._guard.loop.remove_writer(connection.wire.fileno())
        if connection.at_home:
            self._home.post(self._home.detach, connection, connection.wire.close)
        else:
            connection.wire.close()

    def watch_writable(self, connection, wanted):
        """Hear when the socket takes more, or no longer."""
        if connection not in self._connections:
            return
        if wanted:
            self._guard.loop.add_writer(connection.wire.fileno(), connection.writable)
        else:
            self._guard.loop.remove_writer(connection.wire.fileno())

    def relieve(self):
        """The main thread is about to wait for a client, which this thread has to hear."""
        if self._home is not None:
            self._relieve(True)

    def hurry(self):
        """The first call after a quiet time; called by any thread."""
        self._guard.post(self._wake)

    def _wake(self):
        self._timer.cancel()
        self._quiet_ticks = 0
        self._timer = self._guard.later(TICK_S, self._tick)

    def _tick(self):
        self._calls.expire()
        busy = self._calls.ongoing > 0
        self._quiet_ticks = 0 if busy else self._quiet_ticks + 1
        quiet = self._quiet_ticks > QUIET_AFTER_TICKS
        self._calls.quiet = quiet
        self._timer = self._guard.later(QUIET_TICK_S if quiet else TICK_S, self._tick)
        home = self._home
        if home is None:
            return
        self._relieve(self._asked != home.answered or home.reads_between_calls_only and self._calls.has_transfers)
        if self._asked == home.answered and (busy or quiet):
            self._asked += 1
            home.post(home.answer, self._asked)

    def _relieve(self, wanted):
        if wanted == self._relieving:
            return
        self._relieving = wanted
        for connection in self._connections:
            if connection.at_home and wanted:
                self._guard.loop.add_reader(connection.wire.fileno(), connection.readable)
            elif connection.at_home:
                self._guard.loop.remove_reader(connection.wire.fileno())

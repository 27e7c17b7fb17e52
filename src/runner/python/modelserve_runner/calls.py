"""Which calls wait and which run. Owned by the reader thread, so there is nothing to lock."""

from collections import deque


class Hook:
    """A call of one of the class's own methods on behalf of the agent.

    ``done(ok, error)`` is called by the reader thread; error is a text or None. A hook that is ``alone`` waits until
    no call runs, and none begins before it is done.
    """

    __slots__ = ("name", "args", "done", "alone")

    def __init__(self, name, args, done, alone):
        self.name = name
        self.args = args
        self.done = done
        self.alone = alone


class Calls:
    """The calls that were accepted and are not over; ``concurrency`` of them are in user code at once."""

    def __init__(self, loop, max_ongoing, concurrency):
        self.loop = loop
        self.max_ongoing = max_ongoing
        self.executor = None
        self.on_idle = lambda: None
        self._concurrency = concurrency
        self._accepted = set()
        self._waiting = deque()
        self._running = 0
        self._alone = False

    @property
    def ongoing(self):
        """Calls begun and not finished."""
        return len(self._accepted)

    @property
    def is_full(self):
        """Whether another call has to be refused."""
        return len(self._accepted) >= self.max_ongoing

    def accept(self, call):
        """Count a call from now on."""
        self._accepted.add(call)

    def resize(self, max_ongoing, concurrency):
        """Set other limits; what runs above them may finish."""
        self.max_ongoing = max_ongoing
        self._concurrency = concurrency
        self.executor.resize(concurrency)
        self._start_next()

    def enqueue(self, call):
        """Line a call up whose body is complete."""
        self._waiting.append(call)
        self._start_next()

    def run_hook(self, hook):
        """Call a hook before the calls that wait; on an event loop at once, since there it interrupts nobody."""
        if self.executor.asynchronous:
            self.executor.start(hook)
            return
        self._waiting.appendleft(hook)
        self._start_next()

    def hook_returned(self, hook, ok, error):
        """A hook is done."""
        if not self.executor.asynchronous:
            self.left_user_code(hook)
        hook.done(ok, error)

    def withdraw(self, call):
        """Take back a call whose turn has not come."""
        self._waiting.remove(call)

    def interrupt(self, call):
        """Ask a running call to stop, where that is possible."""
        self.executor.cancel(call)

    def left_user_code(self, work):
        """Make room for the next."""
        self._running -= 1
        if work.alone:
            self._alone = False
        self.executor.release(work)
        self._start_next()

    def over(self, call):
        """Stop counting a call."""
        self._accepted.discard(call)
        if not self._accepted:
            self.on_idle()

    def each(self):
        """Return the accepted calls, as a list of its own."""
        return list(self._accepted)

    def _start_next(self):
        while self._waiting and not self._alone:
            work = self._waiting[0]
            if self._running >= (1 if work.alone else self._concurrency):
                return
            self._waiting.popleft()
            self._running += 1
            self._alone = work.alone
            if not isinstance(work, Hook):
                work.begin()
            self.executor.start(work)

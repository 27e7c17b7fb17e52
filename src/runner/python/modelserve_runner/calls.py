"""Which calls wait and which run. Guarded by the replica's lock."""

import time
from collections import deque

from .batch import Batch
from .meter import Meter


class Hook:
    """A call of one of the class's own methods on behalf of the agent.

    ``done(ok, error)`` is called under the lock; error is a text or None. A hook that is ``alone`` waits until
    no call runs, and none begins before it is done.
    """

    __slots__ = ("name", "args", "done", "alone")

    def __init__(self, name, args, done, alone):
        self.name = name
        self.args = args
        self.done = done
        self.alone = alone

    def measure(self, meter):
        """It is no call of a client."""


class Calls:
    """The calls that were accepted and are not over; ``concurrency`` of them, or of batches, are in user code at once.

    ``batch_size`` is set when the class is known: None where it takes calls one by one.
    """

    def __init__(self, guard, launch):
        self.max_ongoing = launch.max_ongoing
        self.executor = None
        self.batch_size = None
        self.on_idle = lambda: None
        #: whether the ticks of relief.Relief are slow, and who is to hear of the first call then
        self.quiet = True
        self.on_busy = lambda: None
        self.meter = Meter()
        self.guard = guard
        self._concurrency = launch.concurrency
        self._batch_wait_s = launch.batch_wait_timeout_s
        self._alarm_is_set = False
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

    @property
    def has_transfers(self):
        """Whether the body of a request or an answer is on its way, for which windows have to be granted or heard."""
        return any(call.is_moving for call in self._accepted)

    def accept(self, call):
        """Count a call from now on."""
        self._accepted.add(call)
        if self.quiet:
            self.quiet = False
            self.on_busy()

    def resize(self, max_ongoing, concurrency):
        """Set other limits; what runs above them may finish."""
        self.max_ongoing = max_ongoing
        self._concurrency = concurrency
        self.executor.resize(concurrency)
        self._start_next()

    def enqueue(self, call):
        """Line a call up whose body is complete."""
        self._waiting.append(call)
        if self._running < self._concurrency:
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
        """Ask a running call to stop, where that is possible; a batch when nobody waits for any of it."""
        if call.batch is None:
            self.executor.cancel(call)
        elif all(each.gone for each in call.batch.calls):
            self.executor.cancel(call.batch)

    def left_user_code(self, work):
        """Make room for the next."""
        self._running -= 1
        if work.alone:
            self._alone = False
        work.measure(self.meter)
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

    def expire(self):
        """Give up the calls whose deadline has passed before their turn came."""
        now = time.monotonic()
        for call in [call for call in self._accepted if call.deadline <= now]:
            call.expire()

    def _start_next(self):
        waiting = self._waiting
        now = time.monotonic()
        while waiting and not self._alone:
            first = waiting[0]
            if self._running >= (1 if first.alone else self._concurrency):
                return
            if isinstance(first, Hook):
                work = waiting.popleft()
                self._alone = work.alone
            elif first.deadline <= now:
                first.expire()
                continue
            elif self.batch_size is None:
                work = waiting.popleft()
                work.begin()
            else:
                work = self._next_batch(now)
                if work is None:
                    return
            self._running += 1
            self.executor.start(work)

    def _next_batch(self, now):
        """Return as many calls as have gathered, or None while the first of them can wait for more."""
        for call in [call for call in self._waiting if call.deadline <= now]:
            call.expire()
        left_s = self._waiting[0].waiting_since + self._batch_wait_s - now
        if len(self._waiting) < self.batch_size and left_s > 0:
            if not self._alarm_is_set:
                self._alarm_is_set = True
                self.guard.post(self.guard.later, left_s, self._alarm)
            return None
        calls = [self._waiting.popleft() for _ in range(min(self.batch_size, len(self._waiting)))]
        return Batch(calls)

    def _alarm(self):
        self._alarm_is_set = False
        self._start_next()

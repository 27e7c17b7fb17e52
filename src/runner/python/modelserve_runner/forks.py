"""What a forked child of user code must let go of.

``os.fork`` (and multiprocessing, where it forks) copies every descriptor. A child that kept the channel's sockets would
keep a dead replica's connections open; one that kept the signal pipe would drain its parent when it is terminated.
"""

import os
import signal
import threading

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def release_in_children(descriptors):
    """Arrange that forked children close what ``descriptors()`` returns, and treat signals as any process does."""
    guard = _ForkGuard(descriptors)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=guard.before, after_in_parent=guard.in_parent, after_in_child=guard.in_child)
    else:
        _wrap_fork(guard)


class _ForkGuard:
    """Holds signals back while a thread forks: one that came to the child too early would reach the parent's pipe."""

    def __init__(self, descriptors):
        self._descriptors = descriptors
        self._masks = threading.local()

    def before(self):
        """About to fork."""
        self._masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def in_parent(self):
        """The fork is done, or has failed."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)

    def in_child(self):
        """In the child, before anything else runs there."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        except ValueError:
            pass  # forked by a thread where the interpreter does not let it change handlers
        for descriptor in self._descriptors():
            try:
                # Not socket.close(): nothing of asyncio's state, such as the shared epoll set, may be touched.
                os.close(descriptor)
            except OSError:
                pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)


def _wrap_fork(guard):
    # CPython 3.6 has no hook; multiprocessing looks os.fork up at each call, so that replacing it reaches both.
    fork = os.fork

    def fork_and_release():
        guard.before()
        pid = None
        try:
            pid = fork()
        finally:
            if pid != 0:
                guard.in_parent()
        if pid == 0:
            guard.in_child()
        return pid

    os.fork = fork_and_release

"""What a forked child of user code must let go of.

``os.fork`` (and multiprocessing, where it forks) copies every descriptor. A child that kept the channel's sockets would
keep a dead replica's connections open; one that kept the signal pipe would drain its parent when it is terminated.
"""

import os
import signal


def release_in_children(descriptors):
    """Arrange that forked children close what ``descriptors()`` returns, and treat signals as any process does."""

    def after_in_child():
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        except ValueError:
            pass  # forked by a thread where the interpreter does not let it change handlers
        for descriptor in descriptors():
            try:
                # Not socket.close(): nothing of asyncio's state, such as the shared epoll set, may be touched.
                os.close(descriptor)
            except OSError:
                pass

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=after_in_child)
        return
    _wrap_fork(after_in_child)


def _wrap_fork(after_in_child):
    # CPython 3.6 has no hook; multiprocessing looks os.fork up at each call, so that replacing it reaches both.
    fork = os.fork

    def fork_and_release():
        pid = fork()
        if pid == 0:
            after_in_child()
        return pid

    os.fork = fork_and_release

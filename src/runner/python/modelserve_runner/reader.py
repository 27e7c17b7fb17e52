"""The reader thread: accepts connections, keeps time, and reads what the main thread does not, whatever user code does."""

import asyncio
import errno
import os
import signal
import socket
import stat
import threading
import time

from .connection import Connection
from .forks import release_in_children
from .guard import Guard
from .lifecycle import EXIT_LIMIT_S, Lifecycle
from .notes import note_failure
from .replica import Replica

#: How long a failed replica waits for an agent to connect and hear the reason.
TELL_LIMIT_S = 2.0
#: How long frames may take to leave, and peers to end their side, when everything ends.
FLUSH_LIMIT_S = 1.0


class Reader:
    """Started before user code is loaded."""

    def __init__(self, launch, log):
        self.guard = Guard()
        self.replica = Replica(launch, self.guard, os.getpid())
        self._lifecycle = Lifecycle(self.replica, log)
        self._listener = None
        self._wakeup_descriptor = -1
        self._closing = self.guard.loop.create_future()
        self._told = threading.Event()
        self._closed = threading.Event()
        self._exit_code = 0

    def start(self):
        """Listen, and begin to serve the channel; called by the main thread, raises OSError."""
        self._listener = _listen(self.replica.launch.socket)
        release_in_children(self._descriptors)
        self._watch_signals()
        threading.Thread(target=self._run, name="modelserve-reader", daemon=True).start()

    def hear_signals(self):
        """Let signals reach this thread whatever the main one does; an event loop there may have taken them over."""
        signal.set_wakeup_fd(self._wakeup_descriptor)

    def fail(self, message, text):
        """Tell that the start has failed, and wait a short while for an agent to hear of it."""
        self.guard.post(self.replica.fail, message, text)
        self.guard.post(self._tell)
        self._told.wait(TELL_LIMIT_S)

    def close(self, exit_code):
        """Let the last frames leave, close everything and remove the socket.

        The process then has EXIT_LIMIT_S to end by itself before it is made to, with this exit code.
        """
        self._exit_code = exit_code
        self.guard.post(lambda: self._closing.done() or self._closing.set_result(None))
        self._closed.wait(FLUSH_LIMIT_S + 1.0)

    def _run(self):
        asyncio.set_event_loop(self.guard.loop)
        try:
            self.guard.loop.run_until_complete(self._serve())
        except BaseException as error:
            # Without its channel a replica is of no use, and the agent replaces it as soon as it has gone.
            note_failure("modelserve: the channel failed", error)
            os._exit(1)
        self._closed.set()
        time.sleep(EXIT_LIMIT_S)
        os._exit(self._exit_code)

    async def _serve(self):
        loop = self.guard.loop
        path = self.replica.launch.socket
        inode = os.stat(path).st_ino
        self.guard.run(self._lifecycle.start)
        loop.add_reader(self._listener.fileno(), self._accept)
        await self._closing
        loop.remove_reader(self._listener.fileno())
        self._listener.close()
        self.guard.run(self.replica.relief.settle, None)  # the main thread reads no more
        self.guard.run(self._close_all)
        deadline = loop.time() + FLUSH_LIMIT_S
        while self.replica.connections and loop.time() < deadline:
            await asyncio.sleep(0.01)
        _remove_socket(path, inode)

    def _accept(self):
        try:
            peer, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            # User code has all descriptors: whoever connects waits until it has let go of some.
            self.guard.loop.remove_reader(self._listener.fileno())
            self.guard.loop.call_later(1.0, self._accept_again)
            return
        self.guard.run(lambda: self.replica.connected(Connection(peer, self.replica)))

    def _accept_again(self):
        if not self._closing.done():
            self.guard.loop.add_reader(self._listener.fileno(), self._accept)

    def _close_all(self):
        for connection in list(self.replica.connections):
            connection.close()

    def _tell(self):
        if self.replica.agents():
            self._told.set()
        else:
            self.guard.later(0.02, self._tell)

    def _watch_signals(self):
        # By the pipe that the interpreter's own C handler writes to, since the Python handler has to wait until user
        # code lets the main thread go on. That one still counts where user code has put another pipe in place.
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.guard.post(self._lifecycle.terminate))
        self._wakeup_descriptor = theirs.fileno()
        self.hear_signals()

        def on_signals(keep_open=theirs):
            for number in ours.recv(64):
                if number in (signal.SIGTERM, signal.SIGINT):
                    self.guard.run(self._lifecycle.signalled)

        self.guard.loop.add_reader(ours, on_signals)

    def _descriptors(self):
        found = [self._listener.fileno()]
        for connection in list(self.replica.connections):
            found.append(connection.wire.fileno())
        return [descriptor for descriptor in found if descriptor >= 0]


def _listen(path):
    """Return a listening socket; a file that a dead replica left behind is replaced."""
    if _is_socket(path):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(path) == 0:
                raise OSError("%s: another process listens on it" % path)
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen(128)
    listener.setblocking(False)
    return listener


def _remove_socket(path, inode):
    """Unlink the socket, unless it is another's by now."""
    try:
        if os.stat(path).st_ino == inode:
            os.unlink(path)
    except OSError:
        pass  # it has been removed already


def _is_socket(path):
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False

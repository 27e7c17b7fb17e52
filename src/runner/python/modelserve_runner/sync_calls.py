"""Runs synchronous classes: one call at a time in the main thread, and further ones in threads of their own."""

import asyncio
import inspect
import queue
import sys
import threading

from .answers import answer_of, answer_of_error, encode_item
from .backend import Unsupported
from .calls import Hook
from .importing import format_error
from .outcomes import hook_failure, hook_outcome, stream_failure
from .request import SyncRequest
from .starting import start_backend


class _Stop:
    """Put into a thread's queue: nothing more comes."""


class SyncExecutor:
    """``start release cancel resize stop`` belong to the reader thread, ``serve`` to the main thread."""

    asynchronous = False

    def __init__(self, reader):
        self._reader = reader
        self._backend = None
        self._threads = [queue.Queue()]
        self._idle = {0}  # indexes of threads; 0 is the main thread and preferred
        self._busy = {}

    def serve(self, backend_class, launch):
        """Construct the class, serve it until stop(), call its shutdown(); raises StartFailed."""
        self._backend, configured = start_backend(backend_class, launch)
        _await_here(configured)
        self._reader.post(self._begin, launch.concurrency)
        self._work(self._threads[0])
        try:
            _await_here(self._backend.hook("shutdown"))
        except Unsupported:
            pass
        except BaseException as error:
            sys.stderr.write("shutdown() failed:\n%s" % format_error(error))

    def start(self, work):
        """Give work to an idle thread."""
        index = min(self._idle)
        self._idle.discard(index)
        self._busy[id(work)] = index
        self._threads[index].put(work)

    def release(self, work):
        """A thread is done with its work."""
        self._idle.add(self._busy.pop(id(work)))

    def cancel(self, call):
        """A thread cannot be stopped: what it returns is thrown away."""

    def resize(self, concurrency):
        """Have as many threads; more than that are left idle."""
        while len(self._threads) < concurrency:
            work = queue.Queue()
            self._idle.add(len(self._threads))
            self._threads.append(work)
            threading.Thread(target=self._work, args=(work,), name="call-%d" % len(self._threads), daemon=True).start()

    def stop(self):
        """Let serve() go on when the threads are done."""
        for work in self._threads:
            work.put(_Stop)

    def _begin(self, concurrency):
        self.resize(concurrency)
        self._reader.replica.ready(self)

    def _work(self, todo):
        while True:
            work = todo.get()
            if work is _Stop:
                return
            if isinstance(work, Hook):
                self._run_hook(work)
            else:
                self._run_call(work)

    def _run_hook(self, hook):
        try:
            outcome = hook_outcome(hook.name, _await_here(self._backend.hook(hook.name, *hook.args)))
        except BaseException as error:
            outcome = hook_failure(error)
        self._reader.post(self._reader.replica.calls.hook_returned, hook, *outcome)

    def _run_call(self, call):
        try:
            request = SyncRequest(call.head, call.body(), lambda: call.gone)
            answer = answer_of(self._backend.call(request))
        except BaseException as error:  # sys.exit() in a call is a failed call, not the end of the replica
            answer = answer_of_error(error, call.head)
        if answer.chunks is None:
            self._reader.post(call.answer, answer)
        else:
            self._stream(call, answer)

    def _stream(self, call, answer):
        """Send what a generator yields, never far ahead of the client; close() it when the client has gone."""
        chunks = answer.chunks
        begun = False
        try:
            for item in chunks:
                piece = encode_item(item)
                if not begun:
                    begun = True
                    answer.name_content_type(item)
                    self._reader.post(call.open_stream, answer)
                go_on = threading.Event()
                self._reader.post(call.write, piece, go_on.set)
                go_on.wait()
                if call.gone:
                    break
            if not begun:
                self._reader.post(call.open_stream, answer)
            finish = (call.finish,)
        except BaseException as error:
            finish = stream_failure(error, call, begun)
        _close_quietly(chunks, call.head)
        self._reader.post(*finish)


def _close_quietly(chunks, head):
    try:
        getattr(chunks, "close", lambda: None)()
    except BaseException as error:
        answer_of_error(error, head)


def _await_here(value):
    """Return ``value``, awaited on an event loop of its own if it is awaitable: hooks may be async def."""
    if not inspect.isawaitable(value):
        return value
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_awaited(value))
    finally:
        loop.close()


async def _awaited(value):
    return await value

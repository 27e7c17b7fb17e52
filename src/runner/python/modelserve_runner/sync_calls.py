"""Runs synchronous classes: one call at a time in the main thread, and further ones in threads of their own."""

import asyncio
import inspect
import queue
import threading
import time
from collections import deque

from .answers import answer_of, answer_of_error
from .backend import Unsupported
from .batch import Batch, checked
from .calls import Hook
from .home import SelectorHome
from .notes import note_failure
from .outcomes import hook_failure, hook_outcome, item_answer, report_batch, stream_failure
from .request import SyncRequest
from .starting import start_backend
from .streams import layout_of

#: Answers of calls that take less than SWIFT_S are gathered for up to this long, to leave together.
TURN_S = 0.001
SWIFT_S = 0.0002


class _Stop:
    """Put into a thread's queue: nothing more comes."""


class SyncExecutor:
    """``start release cancel resize stop`` are called under the lock, ``serve`` by the main thread."""

    asynchronous = False

    def __init__(self, reader):
        self._guard = reader.guard
        self._replica = reader.replica
        self._backend = None
        self._home = SelectorHome()
        self._todo = deque()   # the main thread's
        self._threads = []     # queues of the others
        self._idle = {0}       # indexes; 0 is the main thread and preferred
        self._busy = {}
        self._flushed_at = 0.0
        self._flush_is_due = False
        self.batch_size = None

    @property
    def home(self):
        """Who reads ingress connections (see relief.Relief); None: the reader thread.

        With several threads the main one is no better than any. And while a batch runs, the requests of the next one
        are read, so that it follows at once.
        """
        return None if self._threads or self.batch_size is not None else self._home

    def serve(self, backend_class, launch):
        """Construct the class, serve it until stop(), call its shutdown(); raises StartFailed."""
        self._backend, configured = start_backend(backend_class, launch)
        _await_here(configured)
        self.batch_size = self._backend.batch_size
        self._guard.post(self._begin, launch.concurrency)
        self._work_here()
        try:
            _await_here(self._backend.hook("shutdown"))
        except Unsupported:
            pass
        except BaseException as error:
            note_failure("shutdown() failed", error)

    def start(self, work):
        """Give work to an idle thread."""
        index = min(self._idle)
        self._idle.discard(index)
        self._busy[work] = index
        self._give(index, work)

    def release(self, work):
        """A thread is done with its work."""
        self._idle.add(self._busy.pop(work))

    def cancel(self, work):
        """A thread cannot be stopped: what it returns is thrown away."""

    def resize(self, concurrency):
        """Have as many threads; more than that are left idle."""
        while 1 + len(self._threads) < concurrency:
            todo = queue.Queue()
            self._threads.append(todo)
            self._idle.add(len(self._threads))
            name = "call-%d" % (1 + len(self._threads))
            threading.Thread(target=self._work, args=(todo,), name=name, daemon=True).start()

    def stop(self):
        """Let serve() go on when the threads are done."""
        for index in range(1 + len(self._threads)):
            self._give(index, _Stop)

    def _give(self, index, work):
        if index:
            self._threads[index - 1].put(work)
        else:
            self._todo.append(work)
            self._home.wake()

    def _begin(self, concurrency):
        self.resize(concurrency)
        self._replica.ready(self)

    def _work_here(self):
        """What the main thread does: calls, and between them frames."""
        home, todo = self._home, self._todo
        swift = False
        while True:
            home.run_posts()
            if not todo:
                self._flush()
                home.wait(todo)
                continue
            work = todo.popleft()
            if work is _Stop:
                return
            began = time.monotonic()
            if not swift or began - self._flushed_at > TURN_S:
                self._flush()
                home.look()
            self._run(work)
            swift = time.monotonic() - began < SWIFT_S

    def _work(self, todo):
        while True:
            work = todo.get()
            if work is _Stop:
                return
            self._run(work)
            self._flush()

    def _run(self, work):
        if isinstance(work, Hook):
            self._run_hook(work)
        elif isinstance(work, Batch):
            self._run_batch(work)
        else:
            self._run_call(work)

    def _run_hook(self, hook):
        try:
            outcome = hook_outcome(hook.name, _await_here(self._backend.hook(hook.name, *hook.args)))
        except BaseException as error:
            outcome = hook_failure(error)
        with self._guard.lock:
            self._replica.calls.hook_returned(hook, *outcome)

    def _run_call(self, call):
        began = time.monotonic()
        try:
            result = self._backend.call(SyncRequest(call))
            call.user_s = time.monotonic() - began
            answer = answer_of(result)
        except BaseException as error:  # sys.exit() in a call is a failed call, not the end of the replica
            call.user_s = call.user_s or time.monotonic() - began
            answer = answer_of_error(error, call.head)
        if answer.chunks is None:
            self._finish(call, call.answer, answer)
        else:
            self._finish(call, *self._stream(call, answer))

    def _finish(self, call, end, *args):
        with self._guard.lock:
            end(*args)
            self._replica.calls.left_user_code(call)

    def _run_batch(self, batch):
        calls, parameters, bad = batch.items(lambda call: SyncRequest(call).parameters())
        for call, error in bad:
            self._answer_item(call, error)
        try:
            for call, result in zip(calls, self._predict(batch, calls, parameters)):
                self._answer_item(call, result)
        except BaseException as error:
            if len(calls) == 1:
                self._answer_item(calls[0], error)
            else:
                report_batch(error, len(calls))
                for call, each in zip(calls, parameters):
                    self._predict_alone(batch, call, each)
        with self._guard.lock:
            batch.finish()
            self._replica.calls.left_user_code(batch)

    def _predict(self, batch, calls, parameters):
        if not parameters:
            return []
        began = time.monotonic()
        try:
            results = self._backend.predict_batch(parameters)
        finally:
            batch.took(time.monotonic() - began, calls)
        return checked(results, len(parameters))

    def _predict_alone(self, batch, call, parameters):
        if call.gone:
            return
        try:
            result = self._predict(batch, [call], [parameters])[0]
        except BaseException as error:
            result = error
        self._answer_item(call, result)
        self._flush()

    def _answer_item(self, call, result):
        answer = item_answer(result, call)
        with self._guard.lock:
            call.answer(answer)

    def _stream(self, call, answer):
        """Send what a generator yields, never far ahead of the client; close() it when the client has gone.

        Returns what ends the call.
        """
        chunks = answer.chunks
        layout = None
        lock = self._guard.lock
        go_on = threading.Event()
        began = time.monotonic()
        try:
            for item in chunks:
                if layout is None:
                    chosen = layout_of(answer, call.head)
                    piece = chosen.begin(answer, item)
                    layout = chosen
                    with lock:
                        call.open_stream(answer)
                        call.write(piece, None)
                        self._guard.flush()  # the first item does not wait for others
                    continue
                piece = layout.encode(item)
                with lock:
                    has_room = call.write(piece, go_on.set)
                if has_room:
                    self._flush_soon()
                else:
                    self._guard.post(self._replica.relief.relieve)
                    held_up = time.monotonic()
                    go_on.wait()
                    go_on.clear()
                    began += time.monotonic() - held_up
                if call.gone:
                    break
            if layout is None:
                with lock:
                    call.open_stream(answer)
            finish = (call.finish,)
        except BaseException as error:
            finish = stream_failure(error, call, layout)
        _close_quietly(chunks, call.head)
        call.user_s += time.monotonic() - began
        return finish

    def _flush(self):
        self._flushed_at = time.monotonic()
        if not self._guard.is_flushed:
            with self._guard.lock:
                self._guard.flush()

    def _flush_soon(self):
        """Let items leave at once when they come slowly, together when they come fast."""
        if time.monotonic() - self._flushed_at > TURN_S:
            self._flush()
        elif not self._flush_is_due:
            # By the reader thread: the generator may be about to block.
            self._flush_is_due = True
            self._guard.post(self._flushed)

    def _flushed(self):
        self._flush_is_due = False


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

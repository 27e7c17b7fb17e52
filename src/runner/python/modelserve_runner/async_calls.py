"""Runs asynchronous classes: calls are tasks on one event loop in the main thread."""

import asyncio
import inspect
import threading
import time

from .answers import answer_of, answer_of_error
from .backend import Unsupported
from .batch import Batch, checked
from .calls import Hook
from .home import LoopHome, new_event_loop
from .notes import note_failure
from .outcomes import hook_failure, hook_outcome, item_answer, report_batch, stream_failure
from .request import Request
from .starting import start_backend
from .streams import layout_of

#: Answers are gathered for up to this long while further calls are about to begin; a stream that never waits lets
#: others run after so long.
TURN_S = 0.001


class AsyncExecutor:
    """``start release cancel resize stop`` are called under the lock by any thread, the rest by the main thread."""

    asynchronous = True

    def __init__(self, reader):
        self._reader = reader
        self._guard = reader.guard
        self._replica = reader.replica
        self._loop = new_event_loop()
        self._thread = threading.get_ident()
        self._stopping = self._loop.create_future()
        self._backend = None
        self._tasks = {}
        self._fresh = set()  # what has a task that has not taken its first step
        self._flush_is_due = False
        self._timer_is_set = False
        self._flushed_at = 0.0
        self.home = LoopHome(self._loop)
        self.batch_size = None

    def serve(self, backend_class, launch):
        """Construct the class, serve it until stop(), call its shutdown(); raises StartFailed."""
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(backend_class, launch))

    def start(self, work):
        """Run a call, a batch or a hook."""
        if threading.get_ident() == self._thread:
            self._begin(work)
        else:
            self._loop.call_soon_threadsafe(self._begin, work)

    def release(self, work):
        """Nothing to do: the task has ended."""

    def cancel(self, work):
        """Cancel the task; if it goes on nevertheless, what it returns is thrown away."""
        self._loop.call_soon_threadsafe(self._cancel, work)

    def resize(self, concurrency):
        """Nothing to do: the loop takes what it is given."""

    def stop(self):
        """Let serve() end."""
        self._loop.call_soon_threadsafe(self._stopping.set_result, None)

    async def _serve(self, backend_class, launch):
        # In a running loop, so that a constructor may already create tasks.
        self._reader.hear_signals()
        self._backend, configured = start_backend(backend_class, launch)
        await _value_of(configured)
        self.batch_size = self._backend.batch_size
        self._guard.post(self._replica.ready, self)
        await self._stopping
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        try:
            await _value_of(self._backend.hook("shutdown"))
        except Unsupported:
            pass
        except BaseException as error:
            note_failure("shutdown() failed", error)

    def _begin(self, work):
        run = self._run_hook if isinstance(work, Hook) else self._run_batch if isinstance(work, Batch) else self._run_call
        self._fresh.add(work)
        # Not by create_task: with a task factory of the user's own its first step might be taken here, under the lock.
        self._tasks[work] = asyncio.Task(run(work), loop=self._loop)

    def _cancel(self, work):
        task = self._tasks.get(work)
        if task is None:
            return
        task.cancel()
        if work in self._fresh:  # then nothing of it will run
            self._fresh.discard(work)
            self._finish(work, work.finish)

    def _finish(self, work, end, *args):
        del self._tasks[work]
        with self._guard.lock:
            end(*args)
            self._replica.calls.left_user_code(work)
        self._flush_soon()

    async def _run_hook(self, hook):
        self._fresh.discard(hook)
        try:
            outcome = hook_outcome(hook.name, await _value_of(self._backend.hook(hook.name, *hook.args)))
        except BaseException as error:
            outcome = hook_failure(error)
        del self._tasks[hook]
        self._guard.run(self._replica.calls.hook_returned, hook, *outcome)

    async def _run_call(self, call):
        self._fresh.discard(call)
        began = time.monotonic()
        try:
            result = await _value_of(self._backend.call(Request(call)))
            call.user_s = time.monotonic() - began
            answer = answer_of(result)
        except BaseException as error:
            call.user_s = call.user_s or time.monotonic() - began
            # SystemExit too, which would otherwise end the loop; and CancelledError, after which nobody reads this.
            answer = None if call.gone else answer_of_error(error, call.head)
        if answer is None:
            self._finish(call, call.finish)
        elif answer.chunks is None:
            self._finish(call, call.answer, answer)
        else:
            self._finish(call, *await self._stream(call, answer))

    async def _run_batch(self, batch):
        self._fresh.discard(batch)
        calls, parameters, bad = batch.items(lambda call: Request(call).parameters())
        for call, error in bad:
            self._answer_item(call, error)
        try:
            for call, result in zip(calls, await self._predict(batch, calls, parameters)):
                self._answer_item(call, result)
        except BaseException as error:
            if len(calls) == 1:
                self._answer_item(calls[0], error)
            elif not all(call.gone for call in calls):
                report_batch(error, len(calls))
                for call, each in zip(calls, parameters):
                    await self._predict_alone(batch, call, each)
        self.home.look()  # so that the next batch has all who wait by now
        self._finish(batch, batch.finish)

    async def _predict(self, batch, calls, parameters):
        if not parameters:
            return []
        began = time.monotonic()
        try:
            results = await _value_of(self._backend.predict_batch(parameters))
        finally:
            batch.took(time.monotonic() - began, calls)
        return checked(results, len(parameters))

    async def _predict_alone(self, batch, call, parameters):
        if call.gone:
            return
        try:
            result = (await self._predict(batch, [call], [parameters]))[0]
        except BaseException as error:
            result = error
        self._answer_item(call, result)

    def _answer_item(self, call, result):
        answer = item_answer(result, call)
        with self._guard.lock:
            call.answer(answer)
        self._flush_soon()

    async def _stream(self, call, answer):
        """Send what a generator yields, never far ahead of the client; close it when the client has gone.

        Returns what ends the call.
        """
        chunks = answer.chunks
        layout = None
        lock = self._guard.lock
        began = turn = time.monotonic()
        try:
            async for item in chunks if hasattr(chunks, "__aiter__") else _each(chunks):
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
                    has_room = call.write(piece, None)
                self._flush_in_time()
                if not has_room:
                    held_up = time.monotonic()
                    await self._room(call)
                    began += time.monotonic() - held_up
                elif time.monotonic() - turn > TURN_S:
                    await asyncio.sleep(0)
                    turn = time.monotonic()
                if call.gone:
                    break
            if layout is None:
                with lock:
                    call.open_stream(answer)
            finish = (call.finish,)
        except BaseException as error:
            finish = stream_failure(error, call, layout)
        await _close_quietly(chunks, call.head)
        call.user_s += time.monotonic() - began
        return finish

    async def _room(self, call):
        """Wait until the client has read more."""
        room = self._loop.create_future()

        def go_on():
            self._loop.call_soon_threadsafe(lambda: room.done() or room.set_result(None))

        with self._guard.lock:
            if call.write(b"", go_on):
                return
        await room

    def _flush_soon(self):
        if not self._flush_is_due and not self._guard.is_flushed:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush_in_time(self):
        """Let items leave at once when they come slowly, together when they come fast."""
        left_s = self._flushed_at + TURN_S - time.monotonic()
        if left_s <= 0:
            self._flush_soon()
        elif not self._timer_is_set:
            self._timer_is_set = True
            self._loop.call_later(left_s, self._time_is_up)

    def _time_is_up(self):
        self._timer_is_set = False
        self._flush()

    def _flush(self):
        now = time.monotonic()
        if self._fresh and now - self._flushed_at < TURN_S:
            self._loop.call_soon(self._flush)
            return
        self._flushed_at = now
        self._flush_is_due = False
        with self._guard.lock:
            self._guard.flush()


async def _each(chunks):
    for item in chunks:
        yield item


async def _close_quietly(chunks, head):
    try:
        if hasattr(chunks, "aclose"):
            await chunks.aclose()
        elif hasattr(chunks, "close"):
            chunks.close()
    except BaseException as error:
        answer_of_error(error, head)


async def _value_of(value):
    """Return ``value``, awaited if it is awaitable: hooks may be plain or async def."""
    return await value if inspect.isawaitable(value) else value

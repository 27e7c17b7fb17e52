"""Runs asynchronous classes: calls are tasks on one event loop in the main thread."""

import asyncio
import inspect
import sys

from .answers import answer_of, answer_of_error, encode_item
from .backend import Unsupported
from .calls import Hook
from .importing import format_error
from .outcomes import hook_failure, hook_outcome, stream_failure
from .request import Request
from .starting import start_backend


class AsyncExecutor:
    """``start release cancel resize stop`` belong to the reader thread, the rest to the main thread."""

    asynchronous = True

    def __init__(self, reader):
        self._reader = reader
        self._loop = asyncio.new_event_loop()
        self._stopping = self._loop.create_future()
        self._backend = None
        self._tasks = {}

    def serve(self, backend_class, launch):
        """Construct the class, serve it until stop(), call its shutdown(); raises StartFailed."""
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(backend_class, launch))

    def start(self, work):
        """Run a call or a hook."""
        self._loop.call_soon_threadsafe(self._begin, work)

    def release(self, work):
        """Nothing to do: the task has ended."""

    def cancel(self, call):
        """Cancel the call's task; if it goes on nevertheless, what it returns is thrown away."""
        self._loop.call_soon_threadsafe(self._cancel, call)

    def resize(self, concurrency):
        """Nothing to do: the loop takes what it is given."""

    def stop(self):
        """Let serve() end."""
        self._loop.call_soon_threadsafe(self._stopping.set_result, None)

    async def _serve(self, backend_class, launch):
        # In a running loop, so that a constructor may already create tasks.
        self._backend, configured = start_backend(backend_class, launch)
        await _value_of(configured)
        self._reader.post(self._reader.replica.ready, self)
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
            sys.stderr.write("shutdown() failed:\n%s" % format_error(error))

    def _begin(self, work):
        run = self._run_hook if isinstance(work, Hook) else self._run_call
        task = self._loop.create_task(run(work))
        self._tasks[work] = task
        task.add_done_callback(lambda _: self._ended(work, task))

    def _ended(self, work, task):
        del self._tasks[work]
        if task.cancelled() and not isinstance(work, Hook):
            self._reader.post(work.finish)  # cancelled before its first step: nothing of _run_call has run

    def _cancel(self, call):
        task = self._tasks.get(call)
        if task is not None:
            task.cancel()

    async def _run_hook(self, hook):
        try:
            outcome = hook_outcome(hook.name, await _value_of(self._backend.hook(hook.name, *hook.args)))
        except BaseException as error:
            outcome = hook_failure(error)
        self._reader.post(self._reader.replica.calls.hook_returned, hook, *outcome)

    async def _run_call(self, call):
        try:
            request = Request(call.head, call.body(), lambda: call.gone)
            answer = answer_of(await _value_of(self._backend.call(request)))
        except BaseException as error:
            # SystemExit too, which would otherwise end the loop; and CancelledError, after which nobody reads this.
            answer = None if call.gone else answer_of_error(error, call.head)
        if answer is None:
            self._reader.post(call.finish)
        elif answer.chunks is None:
            self._reader.post(call.answer, answer)
        else:
            await self._stream(call, answer)

    async def _stream(self, call, answer):
        """Send what a generator yields, never far ahead of the client; close it when the client has gone."""
        chunks = answer.chunks
        begun = False
        try:
            async for item in chunks if hasattr(chunks, "__aiter__") else _each(chunks):
                piece = encode_item(item)
                if not begun:
                    begun = True
                    answer.name_content_type(item)
                    self._reader.post(call.open_stream, answer)
                await self._write(call, piece)
                if call.gone:
                    break
            if not begun:
                self._reader.post(call.open_stream, answer)
            finish = (call.finish,)
        except BaseException as error:
            finish = stream_failure(error, call, begun)
        await _close_quietly(chunks, call.head)
        self._reader.post(*finish)

    async def _write(self, call, piece):
        sent = self._loop.create_future()

        def go_on():
            self._loop.call_soon_threadsafe(lambda: sent.done() or sent.set_result(None))

        self._reader.post(call.write, piece, go_on)
        await sent


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

"""Constructs the user's class, and judges whether that start has failed.

Backends commonly wrap their whole constructor in ``try … except: print(…)``, so an object comes out although the model
was not loaded. A start has failed when an exception

1. leaves ``__init__``, or
2. leaves ``_model_init``, whatever the caller does with it, or
3. is caught by the class's own ``__init__`` and printed there: what is written to stdout or stderr (traceback, logging
   and warnings included) while it is handled names its type or its message; or anything at all is written, and
   the ``try`` is the last statement of ``__init__``, so that nothing was done about it.

An exception handled in any other function, or handled without a word, is the class's own business.

The third needs no tracing, which would slow down every import inside the constructor: the first entry of an exception's
traceback is the frame that caught it, so looking at ``sys.exc_info()`` whenever something is written is enough.
"""

import ast
import functools
import inspect
import re
import sys

from .backend import Backend, Unsupported
from .importing import describe, format_error
from .notes import note


class StartFailed(Exception):
    """The constructor made no usable backend; carries what to tell and the user's traceback."""

    def __init__(self, message, traceback_text):
        super().__init__(message)
        self.message = message
        self.traceback = traceback_text


def start_backend(backend_class, launch):
    """Return (Backend, what its reconfigure() returned, which may have to be awaited); raises StartFailed."""
    backend = Backend(_construct(backend_class, launch), launch.max_batch_size)
    if launch.max_batch_size > 1 and backend.batch_size is None:
        note("modelserve: max_batch_size is %d, but class %s has no method predict_batch: it is called once for each "
             "request" % (launch.max_batch_size, backend_class.__name__))
    if launch.user_config is None:
        return backend, None
    try:
        return backend, backend.hook("reconfigure", launch.user_config)
    except Unsupported as error:
        note("modelserve: user_config is set, but %s: it is not used" % error)
        return backend, None


def _construct(backend_class, launch):
    inner = _InnerFailures(backend_class)
    prints = _PrintedFailures(backend_class, launch.code_dir)
    try:
        with inner, prints:
            instance = backend_class(launch.model_path)
    except BaseException as error:  # SystemExit too: sys.exit() in a constructor is a failed start
        message, text, _ = describe(error)
        raise StartFailed(message, text)
    if inner.error is not None:
        raise _failed(inner.error, "left _model_init and was caught")
    caught = prints.failure()
    if caught is not None:
        error, line = caught
        raise _failed(error, "was caught and printed in __init__, line %d; if that is no failure, handle it in "
                             "a method of its own, or without printing it" % line)
    return instance


def _failed(error, what):
    message, _, _ = describe(error)
    return StartFailed("%s (%s)" % (message, what), format_error(error))


class _InnerFailures:
    """Within this context, remembers the first exception that leaves the class's ``_model_init``."""

    def __init__(self, backend_class):
        self._class = backend_class
        self._owned = "_model_init" in vars(backend_class)
        self._original = inspect.getattr_static(backend_class, "_model_init", None)
        self.error = None

    def __enter__(self):
        if self._original is not None and hasattr(self._original, "__get__"):
            self._class._model_init = self
        else:
            self._original = None

    def __exit__(self, *_):
        if self._original is None:
            return
        if self._owned:
            self._class._model_init = self._original
        else:
            del self._class._model_init

    def __get__(self, instance, owner):
        method = self._original.__get__(instance, owner)

        @functools.wraps(method)
        def watched(*args, **kwargs):
            try:
                return method(*args, **kwargs)
            except BaseException as error:
                self.error = self.error or error
                raise

        return watched


class _PrintedFailures:
    """Within this context, remembers what is printed while ``__init__`` itself handles an exception."""

    def __init__(self, backend_class, code_dir):
        found = [inspect.unwrap(vars(base)["__init__"]) for base in backend_class.__mro__
                 if inspect.isfunction(vars(base).get("__init__"))]
        # The class's own, and those that it inherits within the package: what a library's base class prints is
        # no sign of anything.
        self._initializers = found[:1] + [each for each in found[1:] if each.__code__.co_filename.startswith(code_dir)]
        self._codes = {initializer.__code__ for initializer in self._initializers}
        self._printed = []  # (exception, code, line, text) in the order of their first output
        # Watched themselves, because logging handlers and users' modules hold on to them. The package may have put
        # streams of its own in place, which perhaps take no attributes.
        self._streams = [stream for stream in {sys.stdout, sys.stderr} if hasattr(stream, "__dict__")]

    def __enter__(self):
        for stream in self._streams:
            stream.write = self._watch(stream.write)

    def __exit__(self, *_):
        for stream in self._streams:
            vars(stream).pop("write", None)

    def failure(self):
        """Return (exception, line of the handler) of the first that counts as a failed start, or None."""
        for error, frame_code, line, text in self._printed:
            if _mentions(text, error) or self._ends_with_handler(frame_code, line):
                return error, line
        return None

    def _watch(self, write):
        def watching_write(text):
            error = sys.exc_info()[1]
            entry = getattr(error, "__traceback__", None)
            if entry is not None and entry.tb_frame.f_code in self._codes:
                self._note(error, entry.tb_frame, text)
            return write(text)

        return watching_write

    def _note(self, error, frame, text):
        for index, (known, code, line, before) in enumerate(self._printed):
            if known is error:
                self._printed[index] = (known, code, line, before + text)
                return
        self._printed.append((error, frame.f_code, frame.f_lineno, text))

    def _ends_with_handler(self, code, line):
        initializer = next(each for each in self._initializers if each.__code__ is code)
        try:
            lines, first = inspect.getsourcelines(initializer)
            # Methods are indented, and need something to be indented below.
            last = ast.parse("if True:\n" + "".join(lines)).body[0].body[0].body[-1]
        except (OSError, SyntaxError, AttributeError):
            return False  # no source, or none that has statements: no second opinion
        handlers = getattr(last, "handlers", [])
        return bool(handlers) and line - first + 2 >= handlers[0].lineno


def _mentions(text, error):
    """Whether the type or the message of an exception stands in a text, as words of their own."""
    message = str(error).strip()
    words = [type(error).__name__] + ([message] if len(message) > 2 else [])
    return any(re.search(r"(?<!\w)%s(?!\w)" % re.escape(word), text) for word in words)

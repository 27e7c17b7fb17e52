"""What a user's class offers: the method that is served, whether it is asynchronous, and the optional hooks."""

import inspect


class Unsupported(Exception):
    """The class has no such hook."""


def serving_method(backend_class):
    """Return the name of the method that answers requests, or None.

    ``__call__`` takes the request; ``predict`` takes its parameters (the JSON body, or the query without one).
    """
    # Not getattr: every class object is callable itself, through its metaclass.
    if any("__call__" in vars(base) for base in backend_class.__mro__):
        return "__call__"
    return "predict" if callable(getattr(backend_class, "predict", None)) else None


def is_asynchronous(backend_class):
    """Return whether calls belong on an event loop: the served method is ``async def``, generators included."""
    method = inspect.unwrap(getattr(backend_class, serving_method(backend_class)))
    return inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)


class Backend:
    """A constructed instance of the user's class."""

    def __init__(self, instance):
        self._instance = instance
        name = serving_method(type(instance))
        self._method = getattr(instance, name)
        self._takes_request = name == "__call__"

    def call(self, request):
        """Call the served method; an asynchronous one returns what has to be awaited."""
        if self._takes_request:
            return self._method(request)
        return self._method(request.parameters())

    def hook(self, name, *args):
        """Call ``reconfigure``, ``health`` or ``shutdown``; raises Unsupported when the class has no such method."""
        method = getattr(self._instance, name, None)
        if not callable(method):
            raise Unsupported("class %s has no method %s" % (type(self._instance).__name__, name))
        return method(*args)

"""What a user's class offers: the method that is served, whether it is asynchronous, and the optional hooks."""

import inspect


class Unsupported(Exception):
    """The class has no such hook."""


def serving_method(backend_class, max_batch_size=1):
    """Return the name of the method that answers requests, or None.

    ``__call__`` takes the request; ``predict`` takes its parameters (the JSON body, or the query without one);
    ``predict_batch`` takes a list of them, and is preferred where batches are asked for.
    """
    has_batch = callable(getattr(backend_class, "predict_batch", None))
    if has_batch and max_batch_size > 1:
        return "predict_batch"
    # Not getattr: every class object is callable itself, through its metaclass.
    if any("__call__" in vars(base) for base in backend_class.__mro__):
        return "__call__"
    if callable(getattr(backend_class, "predict", None)):
        return "predict"
    return "predict_batch" if has_batch else None


def is_asynchronous(backend_class, max_batch_size=1):
    """Return whether calls belong on an event loop: the served method is ``async def``, generators included."""
    method = inspect.unwrap(getattr(backend_class, serving_method(backend_class, max_batch_size)))
    return inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)


class Backend:
    """A constructed instance of the user's class. ``batch_size`` is None where calls are taken one by one."""

    def __init__(self, instance, max_batch_size=1):
        self._instance = instance
        name = serving_method(type(instance), max_batch_size)
        self._method = getattr(instance, name)
        self._takes_request = name == "__call__"
        self.batch_size = max_batch_size if name == "predict_batch" else None

    def call(self, request):
        """Call the served method; an asynchronous one returns what has to be awaited."""
        if self._takes_request:
            return self._method(request)
        return self._method(request.parameters())

    def predict_batch(self, parameters):
        """Call the class with a list of parameters."""
        return self._method(parameters)

    def hook(self, name, *args):
        """Call ``reconfigure``, ``health`` or ``shutdown``; raises Unsupported when the class has no such method."""
        method = getattr(self._instance, name, None)
        if not callable(method):
            raise Unsupported("class %s has no method %s" % (type(self._instance).__name__, name))
        return method(*args)

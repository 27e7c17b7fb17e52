"""What hooks and broken streams come to: the same for both kinds of class."""

from .answers import answer_of_error
from .backend import Unsupported
from .importing import format_error


def hook_outcome(name, value):
    """Return (ok, error) of a hook that returned ``value``: False says that the replica is not healthy."""
    if name == "health" and value is False:
        return False, "health() returned False"
    return True, None


def hook_failure(error):
    """Return (ok, error) of a hook that raised; no error text where the class has no such method."""
    return False, None if isinstance(error, Unsupported) else format_error(error)


def stream_failure(error, call, begun):
    """Return what ends a call whose generator raised, as a method of the call and its arguments.

    Before the first item there is still time for a status; later the answer is broken off, which the client sees.
    """
    if call.gone:
        return (call.finish,)
    answer = answer_of_error(error, call.head)
    if not begun:
        return call.answer, answer
    return call.break_off, "BACKEND_ERROR", "the backend raised %s in the middle of its answer" % type(error).__name__

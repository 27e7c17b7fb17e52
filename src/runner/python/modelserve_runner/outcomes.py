"""What hooks, batches and broken streams come to: the same for both kinds of class."""

from .answers import answer_of, answer_of_error, error_of
from .backend import Unsupported
from .importing import format_error
from .notes import note_failure


def hook_outcome(name, value):
    """Return (ok, error) of a hook that returned ``value``: False says that the replica is not healthy."""
    if name == "health" and value is False:
        return False, "health() returned False"
    return True, None


def hook_failure(error):
    """Return (ok, error) of a hook that raised; no error text where the class has no such method."""
    return False, None if isinstance(error, Unsupported) else format_error(error)


def stream_failure(error, call, layout):
    """Return what ends a call whose generator raised, as a method of the call and its arguments.

    Before the first item (``layout`` is None) there is still time for a status; later the answer is broken off.
    """
    if call.gone:
        return (call.finish,)
    if layout is None:
        return call.answer, answer_of_error(error, call.head)
    _, told, _ = error_of(error, call.head)
    info = "the backend raised %s in the middle of its answer" % type(error).__name__
    return call.break_off, "BACKEND_ERROR", info, layout.failure(told)


def item_answer(result, call):
    """Return the Answer for one result of ``predict_batch``: an exception instance fails its own request only."""
    try:
        if isinstance(result, BaseException):
            raise result
        answer = answer_of(result)
        if answer.chunks is not None:
            raise TypeError("predict_batch returned a %s for an item: only whole results can be in a batch"
                            % type(result).__name__)
        return answer
    except BaseException as error:
        return answer_of_error(error, call.head)


def report_batch(error, size):
    """Write to the log why a batch is taken apart."""
    note_failure("predict_batch of %d items failed, so they are tried one by one" % size, error)

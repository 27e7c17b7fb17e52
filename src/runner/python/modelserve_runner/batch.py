"""Calls that the class gets as one list (``predict_batch``), and whose results go back to each of them."""


class WrongLength(Exception):
    """``predict_batch`` returned something else than a list with one result for each item."""


class Batch:
    """Some calls in one go. Those that nobody waits for are left out when it begins."""

    __slots__ = ("calls", "_seen")

    #: May run beside others (see calls.Hook).
    alone = False

    def __init__(self, calls):
        self.calls = calls
        self._seen = 0
        for call in calls:
            call.batch = self
            call.begin()

    def took(self, seconds, calls):
        """User code had these together for so long."""
        self._seen = max(self._seen, len(calls))
        for call in calls:
            call.user_s += seconds

    def measure(self, meter):
        """User code is done with all of it."""
        if self._seen:
            meter.gathered(self._seen)
        for call in self.calls:
            call.measure(meter)

    def finish(self):
        """User code is done with those that were not answered: nobody waits for them any more."""
        for call in self.calls:
            call.close()

    def items(self, parameters_of):
        """Return (calls, their parameters, [(call, exception)] of those whose body is no JSON)."""
        calls, parameters, bad = [], [], []
        for call in self.calls:
            if call.gone:
                continue
            try:
                parameters.append(parameters_of(call))
                calls.append(call)
            except Exception as error:
                bad.append((call, error))
        return calls, parameters, bad


def checked(results, expected):
    """Return what ``predict_batch`` returned as a list; raises WrongLength."""
    if isinstance(results, (str, bytes, dict)) or not hasattr(results, "__len__") or not hasattr(results, "__iter__"):
        raise WrongLength("predict_batch returned %s, expected a list of %d results"
                          % (type(results).__name__, expected))
    if len(results) != expected:
        raise WrongLength("predict_batch returned %d results for %d items" % (len(results), expected))
    return list(results)

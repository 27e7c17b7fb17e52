"""What calls take: the time that each was in user code, and how many were in a batch. Guarded by the replica's lock.

Buckets are those of src/cluster/metrics: four to a doubling of the time, from 64 microseconds on; one to a doubling of
the number.
"""

_FIRST_BITS = 7      # of 64, the end of the first bucket
_TIME_BUCKETS = 101
_SIZE_BUCKETS = 42


class Meter:
    """Counts since the process began."""

    def __init__(self):
        self._times = [0] * _TIME_BUCKETS
        self._time_s = 0.0
        self._sizes = [0] * _SIZE_BUCKETS
        self._items = 0
        self._told = 0
        self._count = 0

    def took(self, seconds):
        """A call has left user code."""
        us = int(seconds * 1000000)
        bits = us.bit_length()
        bucket = 0 if bits < _FIRST_BITS else ((bits - _FIRST_BITS) << 2) + ((us >> (bits - 3)) & 3) + 1
        self._times[bucket if bucket < _TIME_BUCKETS else _TIME_BUCKETS - 1] += 1
        self._time_s += seconds
        self._count += 1

    def gathered(self, size):
        """A batch of so many calls has left user code."""
        self._sizes[(size - 1).bit_length()] += 1
        self._items += size

    def news(self, anew=False):
        """Return the notification of docs/channel.md, or None where nothing has been counted since it was asked last."""
        if self._told == self._count and not (anew and self._count):
            return None
        self._told = self._count
        return {"event": "work", "times": {"sum_s": self._time_s, "buckets": _filled(self._times)},
                "batches": {"sum": self._items, "buckets": _filled(self._sizes)}}


def _filled(counts):
    """Return index and count in turn, of the buckets that are not empty."""
    filled = []
    for index, count in enumerate(counts):
        if count:
            filled += (index, count)
    return filled

"""The log of a replica: file descriptors 1 and 2 of the process, rotated by the process itself.

Redirecting the descriptors instead of Python's streams catches what native libraries and child processes print. A
child that was started before a rotation goes on writing to the file that was renamed away.
"""

import os
import sys

from . import notes


def use_line_buffering():
    """Replace ``sys.stdout`` and ``sys.stderr`` by UTF-8 streams that pass on each line as soon as it is complete.

    Whatever the locale: under LANG=C, CPython 3.6 would raise at the first character that is not ASCII.
    """
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)


class LogFile:
    """The file of a Launch: ``path`` is written; ``path.1`` is the newest of the ``files - 1`` older ones kept.

    With ``log_output`` off it has the runner's own lines alone (see notes).
    """

    def __init__(self, launch):
        self._path = launch.log
        self._max_bytes = launch.log_max_bytes
        self._files = launch.log_files
        self._has_output = launch.log_output
        self._descriptors = (1, 2)

    def open(self):
        """Let descriptors 1 and 2 lead to the file from now on, or the runner's own; raises OSError."""
        if not self._has_output:
            own = os.open(os.devnull, os.O_WRONLY)
            self._descriptors = (own,)
        self._reopen()
        if not self._has_output:
            notes.throw_output_away()
            notes.write_apart(self._descriptors[0])

    def rotate_if_full(self):
        """Start a new file when the current one has reached its size.

        A failure (a full disk, a folder that has gone) leaves the current file in use.
        """
        try:
            if os.fstat(self._descriptors[0]).st_size < self._max_bytes:
                return
            for number in range(self._files - 1, 0, -1):
                older = "%s.%d" % (self._path, number)
                newer = "%s.%d" % (self._path, number - 1) if number > 1 else self._path
                if os.path.exists(newer):
                    os.replace(newer, older)
            if self._files == 1:
                os.unlink(self._path)
            self._reopen()
        except OSError as error:
            notes.note("modelserve: the log %s could not be rotated: %s" % (self._path, error))

    def _reopen(self):
        target = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            for descriptor in self._descriptors:
                os.dup2(target, descriptor, inheritable=descriptor <= 2)
        finally:
            os.close(target)

"""The runner's own lines in the log of its replica, among what user code prints there, or without it (log_output = off).

Without it nothing is written of what clients sent: of an exception its kind and where it was raised, not its message.
"""

import os
import sys

from .importing import format_error, format_kind

_INDENT = "  "
_own = None


def write_apart(descriptor):
    """Write to this descriptor from now on: standard output and error are thrown away."""
    global _own
    _own = open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def descriptor():
    """Return where stacks may be written that do not come from Python."""
    return 2 if _own is None else _own.fileno()


def note(text):
    """Write a line, or several."""
    (_own or sys.stderr).write(text + "\n")


def note_failure(what, error):
    """Write that something failed and why, indented: a search for a request's id shows all of it."""
    text = format_error(error) if _own is None else format_kind(error)
    lines = "".join(_INDENT + line if line.strip() else line for line in text.splitlines(True))
    note("%s:\n%s" % (what, lines.rstrip("\n")))


def note_refusal(what, error):
    """Write that something failed where the exception's message says all."""
    note("%s: %s" % (what, error if _own is None else type(error).__name__))


def throw_output_away():
    """Let descriptors 1 and 2 lead nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)

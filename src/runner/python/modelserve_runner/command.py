"""The two things that main.py does: serve a replica, or check that its class can be imported."""

import faulthandler
import json
import os
import sys

from . import notes
from .async_calls import AsyncExecutor
from .backend import is_asynchronous
from .importing import describe, load_backend
from .launch import LaunchError, read_launch
from .log_file import LogFile, use_line_buffering
from .reader import Reader
from .starting import StartFailed
from .sync_calls import SyncExecutor

USAGE = "usage: main.py [--check-import] LAUNCH.json\n"


def run(arguments):
    """Return the exit code."""
    check = arguments[:1] == ["--check-import"]
    paths = arguments[1:] if check else arguments
    if len(paths) != 1:
        sys.stderr.write(USAGE)
        return 2
    try:
        launch = read_launch(paths[0])
    except LaunchError as error:
        sys.stderr.write("%s\n" % error)
        return 2
    return check_import(launch) if check else serve(launch)


def check_import(launch):
    """Import the class and print one line of JSON; what the package prints meanwhile goes to stderr."""
    verdict_out = os.dup(1)
    os.dup2(2, 1)
    use_line_buffering()
    try:
        load_backend(launch)
        verdict = {"ok": True}
    except BaseException as error:
        message, text, missing = describe(error)
        verdict = {"ok": False, "message": message, "traceback": text, "missing_module": missing}
    os.write(verdict_out, (json.dumps(verdict) + "\n").encode("ascii"))
    # Not by returning: threads that the package started at import must not keep the check from ending.
    os._exit(0 if verdict["ok"] else 1)


def serve(launch):
    """Serve the replica until it is told to end; return the exit code."""
    log = None if launch.log is None else LogFile(launch)
    reader = Reader(launch, log)
    try:
        if log is not None:
            log.open()
        use_line_buffering()
        faulthandler.enable(file=notes.descriptor())  # a crash, or SIGABRT: the stacks of all threads
        reader.start()
    except OSError as error:
        sys.stderr.write("modelserve: replica %s cannot start: %s\n" % (launch.replica, error))
        return 1
    exit_code = 0
    try:
        backend_class = load_backend(launch)
        reader.replica.imported()
        asynchronous = is_asynchronous(backend_class, launch.max_batch_size)
        executor = (AsyncExecutor if asynchronous else SyncExecutor)(reader)
        executor.serve(backend_class, launch)
    except BaseException as error:
        exit_code = 1
        _report_failure(reader, error)
    reader.close(exit_code)
    return exit_code


def _report_failure(reader, error):
    if isinstance(error, StartFailed):
        message, text = error.message, error.traceback
    else:
        message, text, _ = describe(error)
    notes.note("modelserve: the backend could not be started: %s\n%s" % (message, text))
    reader.fail(message, text)

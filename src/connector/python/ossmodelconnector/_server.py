"""Where the server is: the node's, or a process of its own."""

import atexit
import os
import select
import shutil
import subprocess
import tempfile
import threading

START_S = 60

_lock = threading.Lock()
_own = None  # the server that this process has started: (Popen, socket path)


def socket_path():
    """The Unix socket of the node's server (MODELSERVE_CONNECTOR), else of one that is started for this process and ends
    with its last client. Raises RuntimeError where there is none."""
    given = os.environ.get("MODELSERVE_CONNECTOR")
    if given:
        return given
    global _own
    with _lock:
        if _own is None or _own[0].poll() is not None or not os.path.exists(_own[1]):
            _own = start()
        return _own[1]


def forget(path):
    """The server there has gone: what it has left behind is removed, and the next connector starts another."""
    global _own
    with _lock:
        if _own is not None and _own[1] == path:
            _own[0].poll()
            _own = None
            shutil.rmtree(os.path.dirname(path), ignore_errors=True)


def start():
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command() + ["connector"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd="/",
            start_new_session=True,  # Ctrl-C is this process' own business
        )
        said = first_line(process)
        if said.startswith("ready "):
            atexit.register(leave, process)
            return process, said[len("ready "):]
        process.kill()
        process.wait()
        errors.seek(0)
        words = errors.read().decode(errors="replace").strip() or "it says nothing"
    raise RuntimeError("modelserve's connector cannot be started (%s): %s" % (" ".join(process.args), words))


def leave(process):
    """At the end of this process: the server ends by itself, with its last client, and nobody needs to be warned that it runs."""
    if process.poll() is None:
        process.returncode = 0


def first_line(process):
    """What the server says once it listens; '' when it ends or takes too long."""
    with process.stdout:
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        return process.stdout.readline().decode().rstrip("\n") if ready else ""


def command():
    """How modelserve is called: MODELSERVE_BIN, PATH, or where this package comes from."""
    named = os.environ.get("MODELSERVE_BIN")
    program = named or shutil.which("modelserve") or origin()
    if program is None:
        raise RuntimeError(
            "modelserve is needed and was not found: put it on PATH (npm link), or name it in MODELSERVE_BIN"
        )
    program = os.path.abspath(program)
    if not program.endswith(".js"):
        return [program]
    node = os.environ.get("MODELSERVE_NODE") or shutil.which("node")
    if node is None:
        raise RuntimeError("Node.js is needed and is not on PATH: %s runs in it" % program)
    return [node, program]


def origin():
    """The program of the modelserve that this package is part of, or was made by; None where it is gone."""
    try:
        from ._made_at import PROGRAM as program
    except ImportError:
        here = os.path.dirname(os.path.abspath(__file__))
        program = os.path.join(here, "..", "..", "..", "..", "dist", "cli", "main.js")
    return program if os.path.exists(program) else None

"""The replica as the channel shows it: its phase, who is connected, what is refused, what the agent asks for."""

import faulthandler
import time

from . import frames, notes
from .calls import Calls, Hook
from .relief import Relief

#: Message and traceback are cut to these, so that the frame that carries them stays within the limit of a payload even
#: where each character takes six bytes (as an escape).
MAX_MESSAGE_CHARS = 2 * 1024
MAX_TRACEBACK_CHARS = 8 * 1024


class Replica:
    """Guarded by its lock. ``starting → ready → draining``, or ``failed``."""

    def __init__(self, launch, guard, pid):
        self.launch = launch
        self.guard = guard
        self.calls = Calls(guard, launch)
        self.relief = Relief(guard, self.calls)
        self.phase = "starting"
        self.connections = set()
        #: set by lifecycle.Lifecycle: called with a drain's grace in milliseconds, when agents come or go, and when
        #: an ingress knows that nothing new is taken
        self.on_drain = None
        self.on_agents = None
        self.on_aware = None
        self._pid = pid
        self._error = None
        self._began_at = time.monotonic()
        self._imported_at = self._began_at
        self._load = None

    def state(self):
        """Return the ReplicaState of docs/channel.md."""
        return {"phase": self.phase, "max_ongoing": self.calls.max_ongoing, "ongoing": self.calls.ongoing,
                "error": self._error, "load": self._load}

    def enter(self, phase, error=None):
        """Change the phase and tell everybody."""
        self.phase = phase
        self._error = error
        self._notify({"event": "state", "state": self.state()})

    def imported(self):
        """The class is there; its constructor follows."""
        self._imported_at = time.monotonic()

    def fail(self, message, traceback):
        """The start has failed."""
        if self.phase == "starting":
            self.enter("failed", {"message": message[:MAX_MESSAGE_CHARS],
                                  "traceback": traceback[-MAX_TRACEBACK_CHARS:]})

    def ready(self, executor):
        """The class is constructed and takes calls, unless the end was asked for meanwhile."""
        self.calls.executor = executor
        self.calls.batch_size = executor.batch_size
        self.relief.settle(executor.home)
        self._load = {"import_ms": _ms(self._imported_at - self._began_at),
                      "construct_ms": _ms(time.monotonic() - self._imported_at)}
        if self.phase == "starting":
            self.enter("ready")

    def beat(self):
        """Show that the reader thread is alive. A peer that does not read is not sent ever more of them."""
        self._notify({"event": "beat", "ongoing": self.calls.ongoing}, skip_paused=True)
        self.tell_work()

    def tell_work(self):
        """Tell agents what calls have taken, where some have ended since they were told last."""
        news = self.calls.meter.news()
        if news is not None:
            for connection in self.connections:
                if connection.role == "agent":
                    connection.send_json(frames.NOTIFY, 0, 0, news)

    def go_away(self, reason):
        """Tell everybody to send nothing new."""
        for connection in self.connections:
            if connection.role is not None:
                connection.go_away(reason)

    def agents(self):
        """Return how many agents are connected."""
        return sum(1 for connection in self.connections if connection.role == "agent")

    def connected(self, connection):
        """A peer has connected; it has not said hello yet."""
        self.connections.add(connection)
        self.relief.add(connection)

    def greeted(self, connection):
        """A peer has said hello."""
        launch = self.launch
        connection.send_json(frames.HELLO, 0, 0, {
            "protocol": frames.PROTOCOL_VERSION, "role": "replica", "replica": launch.replica,
            "deployment": launch.deployment, "pid": self._pid, "state": self.state()})
        if self.phase == "draining":
            connection.send_json(frames.GOAWAY, 0, 0, {"reason": "draining"})
        if connection.role == "agent":
            news = self.calls.meter.news(anew=True)
            if news is not None:
                connection.send_json(frames.NOTIFY, 0, 0, news)
        self.relief.greeted(connection)
        self.on_agents()

    def disconnected(self, connection):
        """A peer has gone."""
        self.connections.discard(connection)
        self.guard.post(self.relief.remove, connection)
        self.guard.post(self.on_agents)
        if connection.unaware:
            self.guard.post(self.on_aware)

    def refusal(self, head):
        """Return why a request is not taken, or None."""
        if head["replica"] != self.launch.replica:
            return "unknown_replica"
        if self.phase == "draining":
            return "draining"
        if self.phase != "ready":
            return "not_ready"
        return "full" if self.calls.is_full else None

    def control(self, role, request, answer):
        """Do what the agent asks for; ``answer(ok, error, unsupported)`` is called once."""
        handler = {"reconfigure": self._reconfigure, "limits": self._limits, "health": self._health,
                   "dump_stacks": self._dump_stacks, "drain": self._drain}.get(request.get("op"))
        if role != "agent":
            answer(False, "controls are taken from an agent only, not from %r" % role)
        elif handler is None:
            answer(False, "unknown control %r" % request.get("op"), True)
        else:
            handler(request, answer)

    def _reconfigure(self, request, answer):
        self._run_hook("reconfigure", (request.get("config"),), answer)

    def _health(self, request, answer):
        def done(ok, error, unsupported=False):
            answer(ok or unsupported, None if unsupported else error)

        self._run_hook("health", (), done)

    def _run_hook(self, name, args, answer):
        if self.phase != "ready":
            answer(False, "the replica is %s" % self.phase)
            return
        alone = name == "reconfigure"

        def done(ok, error):
            answer(ok, error, error is None and not ok)

        self.calls.run_hook(Hook(name, args, done, alone))

    def _limits(self, request, answer):
        limits = [request.get("max_ongoing"), request.get("concurrency")]
        if not all(isinstance(limit, int) and limit > 0 for limit in limits):
            answer(False, "limits must be whole numbers above 0, found %r" % limits)
        elif self.phase == "ready":
            self.calls.resize(*limits)
            self.relief.settle(self.calls.executor.home)
            self.enter("ready")  # everybody is told how many calls are let in from now on
            answer(True)
        else:
            answer(False, "the replica is %s" % self.phase)

    def _dump_stacks(self, request, answer):
        faulthandler.dump_traceback(file=notes.descriptor(), all_threads=True)
        answer(True)

    def _drain(self, request, answer):
        grace_ms = request.get("grace_ms")
        if not isinstance(grace_ms, (int, float)) or grace_ms < 0:
            answer(False, "grace_ms must be a number of milliseconds, found %r" % grace_ms)
            return
        answer(True)
        self.on_drain(grace_ms)

    def _notify(self, event, skip_paused=False):
        for connection in self.connections:
            if connection.role is not None and not (skip_paused and connection.paused):
                connection.send_json(frames.NOTIFY, 0, 0, event)


def _ms(seconds):
    return int(round(seconds * 1000))

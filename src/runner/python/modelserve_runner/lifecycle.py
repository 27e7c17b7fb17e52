"""How a replica beats, drains and ends. Belongs to the reader thread, under the lock."""

import os

from .notes import note

BEAT_S = 0.5
LOG_CHECK_S = 1.0
#: For SIGTERM and a lost agent, which name no grace; an agent's drain does.
DEFAULT_GRACE_MS = 30000
#: An ingress that has not answered by then (it is stopped, say) is not waited for any longer.
AWARE_LIMIT_S = 5.0
#: From the end of the last call to the end of the process: shutdown(), atexit handlers, threads of the user.
EXIT_LIMIT_S = 5.0


class Lifecycle:
    """Drives a Replica through its end; ``log`` is a LogFile or None."""

    def __init__(self, replica, log):
        self._replica = replica
        self._guard = replica.guard
        self._log = log
        self._orphan_timer = None
        self._grace_timer = None
        self._stopping = False
        self._signals = 0
        replica.on_drain = self.drain
        replica.on_agents = self.agents_changed
        replica.on_aware = self._check_drained
        replica.calls.on_idle = self._idle

    def start(self):
        """Begin to beat, to look after the log and to wait for an agent."""
        self.agents_changed()
        self._replica.relief.start()
        self._guard.later(BEAT_S, self._beat)
        if self._log is not None:
            self._guard.loop.call_later(LOG_CHECK_S, self._rotate)

    def agents_changed(self):
        """An agent may have come or gone: without one the replica ends itself after a while."""
        if self._replica.agents():
            if self._orphan_timer is not None:
                self._orphan_timer.cancel()
                self._orphan_timer = None
        elif self._orphan_timer is None:
            self._orphan_timer = self._guard.later(self._replica.launch.orphan_timeout_s, self._orphaned)

    def signalled(self):
        """SIGTERM or SIGINT: drain; a second one ends the process at once."""
        self._signals += 1
        if self._signals > 1:
            os._exit(1)
        self.terminate()

    def terminate(self):
        """Drain with the default grace, unless the end is on its way already."""
        if self._replica.phase != "draining":
            self.drain(DEFAULT_GRACE_MS)

    def drain(self, grace_ms):
        """Refuse what is new, finish what runs within the grace, then end; a shorter grace may follow a longer."""
        replica = self._replica
        if replica.phase == "failed":
            return
        if replica.phase != "draining":
            constructed = replica.phase == "ready"
            replica.enter("draining")
            replica.go_away("draining")
            self._guard.later(AWARE_LIMIT_S, self._wait_no_longer)
            if not constructed:
                self._exit_now()  # the main thread is in the user's constructor and there is nothing to finish
                return
        if self._grace_timer is not None:
            self._grace_timer.cancel()
        self._grace_timer = self._guard.later(grace_ms / 1000, self._cut_off)
        self._check_drained()

    def _cut_off(self):
        for call in self._replica.calls.each():
            call.cut_off()
        self._stop()

    def _idle(self):
        # Called by the thread that finished the last call.
        if self._replica.phase == "draining":
            self._guard.post(self._check_drained)

    def _check_drained(self):
        # Ending while a request is on its way here would lose it: it would count as begun.
        replica = self._replica
        unaware = any(connection.unaware for connection in replica.connections)
        if replica.phase == "draining" and not replica.calls.ongoing and not unaware:
            self._stop()

    def _wait_no_longer(self):
        for connection in self._replica.connections:
            connection.unaware = False
        self._check_drained()

    def _stop(self):
        if self._stopping:
            return
        self._stopping = True
        self._replica.tell_work()
        # User code that does not return, in shutdown() or a call that was cut off, must not keep the process.
        self._guard.later(EXIT_LIMIT_S, os._exit, 0)
        self._replica.calls.executor.stop()

    def _exit_now(self):
        for connection in list(self._replica.connections):
            connection.close()
        self._guard.later(0.1, os._exit, 0)

    def _orphaned(self):
        note("modelserve: no agent for %g s, this replica ends itself" % self._replica.launch.orphan_timeout_s)
        self.drain(DEFAULT_GRACE_MS)

    def _beat(self):
        self._replica.beat()
        self._guard.later(BEAT_S, self._beat)

    def _rotate(self):
        # Not under the lock: a slow disk is to hold up no calls.
        self._log.rotate_if_full()
        self._guard.loop.call_later(LOG_CHECK_S, self._rotate)

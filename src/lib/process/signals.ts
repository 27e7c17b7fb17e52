import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { argumentsOf } from './find-by-argument.ts';
import { isRunning, type ProcessIdentity, readProcessStat } from './identity.ts';

/** Sends a signal to one process; false where it is gone already. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** All processes whose session leader was `sessionId`: what a replica forked is found even when its parent has left. */
function sessionMembers(sessionId: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => sessionOf(pid) === sessionId);
}

function sessionOf(pid: number): number | null {
  const stat = readProcessStat(pid);
  return stat === null || stat.state === 'Z' ? null : stat.sessionId;
}

/** A tracker that is still there so long after all others waits for somebody outside of the session. */
const TRACKER_GRACE_MS = 1_000;
const TRACKER = /\b(?:resource|semaphore)_tracker import main\b/;

/** Python's own keeper of named semaphores and shared memory: it removes those of its processes, and ends, once they are gone. */
function isTracker(pid: number): boolean {
  return argumentsOf(pid).some((argument) => TRACKER.test(argument));
}

/**
 * SIGKILL for a whole session, again until none is left (a member may fork meanwhile). Python's trackers may first remove what
 * the others have left in /dev/shm.
 */
export async function killSession(sessionId: number, deadlineMs = 5_000): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  let othersSeenMs = performance.now(); // the last of a large one takes seconds to give its memory back
  for (;;) {
    const members = sessionMembers(sessionId);
    if (members.length === 0) return true;
    const others = members.filter((pid) => !isTracker(pid));
    const nowMs = performance.now();
    if (others.length > 0) othersSeenMs = nowMs;
    const sparesTrackers = nowMs < Math.min(othersSeenMs, end - 2 * TRACKER_GRACE_MS) + TRACKER_GRACE_MS;
    for (const pid of sparesTrackers ? others : members) signalProcess(pid, 'SIGKILL');
    if (nowMs > end) return false;
    await delay(10);
  }
}

/** Waits until the process is gone; false when it still runs after `timeoutMs`. For processes that are not children: looks every 20 ms. */
export async function waitForExit(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (isRunning(identity)) {
    if (performance.now() > end) return false;
    await delay(20);
  }
  return true;
}

/** Waits until a session has no process any more, at most `timeoutMs`; looks every 100 ms. Keeps no process alive. */
export async function waitForSession(sessionId: number, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (sessionMembers(sessionId).length > 0 && performance.now() < end) {
    await delay(100, undefined, { ref: false });
  }
}

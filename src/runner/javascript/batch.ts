import type { CallTarget, Instance } from './instance-pool.ts';
import type { Job } from './scheduler.ts';
import type { CallReply, CallTask, NextReply, Outcome } from './thread-tasks.ts';

interface Part {
  readonly task: CallTask;
  readonly resolve: (reply: CallReply) => void;
  readonly reject: (error: unknown) => void;
}

/** Runs jobs as one call of an instance; each job sees an instance of its own, and gets its own reply. */
export async function runTogether(jobs: readonly Job[], instance: Instance): Promise<void> {
  const parts: Part[] = [];
  // A job asks for its call at once, so that all parts are there when the last has begun.
  const runs = jobs.map((job) => job.run(partOf(parts)));
  try {
    const { replies } = await instance.batch({ calls: parts.map((part) => part.task) });
    parts.forEach((part, index) => {
      const reply = replies[index];
      if (reply !== undefined) part.resolve(reply);
    });
  } catch (error) {
    for (const part of parts) part.reject(error);
  }
  await Promise.all(runs);
}

function partOf(parts: Part[]): CallTarget {
  return {
    call: (task) => new Promise<CallReply>((resolve, reject) => parts.push({ task, resolve, reject })),
    next: async (): Promise<NextReply> => ({ chunk: new Uint8Array(), more: false }),
    // The others of the batch go on; what comes of this one is thrown away.
    cancel: async (): Promise<Outcome> => ({ ok: true }),
  };
}

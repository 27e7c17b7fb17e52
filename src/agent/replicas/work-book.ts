import type { WorkReport } from '../../channel/messages.ts';
import type { ReplicaWork } from '../../cluster/metrics/samples.ts';

/** What one process of a replica said last. */
interface Entry {
  readonly replicaId: string;
  readonly deployment: string;
  readonly pid: number;
  report: WorkReport;
  /** null: it is there */
  endedMs: number | null;
}

/** The head asks every ten seconds: what a process said before it ended is told for so long after. */
const KEPT_MS = 60_000;

/** What calls have taken in the replicas of this node, by process: a replica that is started again counts anew. */
export class WorkBook {
  readonly #entries = new Map<string, Entry>();

  heard(process: Pick<Entry, 'replicaId' | 'deployment' | 'pid'>, report: WorkReport): void {
    const key = `${process.replicaId} ${process.pid}`;
    const entry = this.#entries.get(key);
    if (entry === undefined) this.#entries.set(key, { ...process, report, endedMs: null });
    else entry.report = report;
  }

  ended({ replicaId, pid }: Pick<Entry, 'replicaId' | 'pid'>, nowMs: number): void {
    const entry = this.#entries.get(`${replicaId} ${pid}`);
    if (entry !== undefined) entry.endedMs ??= nowMs;
  }

  samples(nowMs: number): readonly ReplicaWork[] {
    for (const [key, { endedMs }] of this.#entries) {
      if (endedMs !== null && nowMs - endedMs > KEPT_MS) this.#entries.delete(key);
    }
    return [...this.#entries.values()].map(({ replicaId, deployment, pid, report: { times, batches } }) => ({
      ...{ replicaId, deployment, pid, batches },
      times: { sumS: times.sum_s, buckets: times.buckets },
    }));
  }
}

import type { Gpu } from '../../cluster/placement/types.ts';
import { readProcessStat } from '../../lib/process/identity.ts';
import { DriverCall, type DriverCallOptions } from './driver-call.ts';
import { COMPUTE_APPS, MONITOR, type ProcessQuestion, type ProcessUse } from './process-query.ts';

/** What one process uses of one GPU, by the session that it belongs to; null: the driver does not say. */
export interface GpuProcess extends Pick<ProcessUse, 'memoryUsedBytes' | 'busy'> {
  readonly uuid: string;
  /** process id of the leader of its session: a replica's is its own */
  readonly sessionId: number;
}

/**
 * Which processes of this machine use its GPUs. Of a process that is not seen here by the number that the driver has for it
 * (that of another namespace) nothing is known.
 */
export class GpuProcesses {
  readonly #call: DriverCall;
  #question: ProcessQuestion = MONITOR;
  #wasAnswered = false;
  #list: readonly GpuProcess[] = [];

  constructor(options: DriverCallOptions) {
    this.#call = new DriverCall(options);
  }

  /** As the driver said last; nothing where it did not answer. */
  get list(): readonly GpuProcess[] {
    return this.#list;
  }

  /** One question to the driver, and none where there is no GPU; returns when it has answered or its time is over. */
  async refresh(gpus: readonly Gpu[]): Promise<void> {
    const cards = gpus.filter(({ usable, virtual }) => usable && !virtual);
    const uses = cards.length === 0 ? [] : await this.#ask();
    this.#list = uses.flatMap(({ gpu, pid, memoryUsedBytes, busy }) => {
      const card = cards.find(({ index, uuid }) => gpu === uuid || gpu === String(index));
      const stat = card === undefined ? null : readProcessStat(pid);
      if (card === undefined || stat === null) return [];
      return [{ uuid: card.uuid, sessionId: stat.sessionId, memoryUsedBytes, busy }];
    });
  }

  async #ask(): Promise<readonly ProcessUse[]> {
    const question = this.#question;
    const run = await this.#call.ask(question.args);
    const isAnswer = run !== null && !run.timedOut && run.exitCode === 0;
    const uses = isAnswer ? question.parse(run.stdout) : null;
    if (uses !== null) this.#wasAnswered = true;
    // A card that cannot tell the one may tell the other; a driver that could, and cannot now, is in trouble.
    else if (!this.#wasAnswered) this.#question = question === MONITOR ? COMPUTE_APPS : MONITOR;
    return uses ?? [];
  }
}

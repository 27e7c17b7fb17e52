import type { Gpu } from '../../cluster/placement/types.ts';
import type { Log } from '../../lib/log.ts';
import type { CommandRun } from '../../lib/process/command.ts';
import { DriverCall } from './driver-call.ts';
import { type GpuProcess, GpuProcesses } from './processes.ts';
import { declaredGpus, type GpuUse, mergeProbe, parseQuery, QUERY_ARGUMENTS, visibleGpus } from './query.ts';

export interface GpuOptions {
  readonly nodeId: string;
  /** --num-gpus: so many virtual GPUs and no probing; null: ask nvidia-smi */
  readonly declared: number | null;
  /** the agent's own CUDA_VISIBLE_DEVICES; null: not set */
  readonly visibleDevices: string | null;
  /** environment of nvidia-smi, with the PATH it is looked for on */
  readonly env: Readonly<Record<string, string>>;
  /** 5 s by default: a healthy driver answers in well under one */
  readonly probeTimeoutMs?: number;
  /** 30 s by default */
  readonly intervalMs?: number;
}

export interface GpuDependencies {
  readonly log: Log;
  /** the list is not what it was */
  readonly onChange: (gpus: readonly Gpu[]) => void;
}

/**
 * The GPUs of this node, asked of the driver at the start and every 30 s. A driver that hangs or loses a card marks
 * the GPUs it no longer answers for as unusable, with the reason; it never stops anything and is never waited for.
 */
export class GpuInventory {
  readonly #options: GpuOptions;
  readonly #dependencies: GpuDependencies;
  #gpus: readonly Gpu[] = [];
  #uses: ReadonlyMap<string, GpuUse> = new Map();
  readonly #call: DriverCall;
  readonly #processes: GpuProcesses;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: GpuOptions, dependencies: GpuDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    const call = { env: options.env, timeoutMs: this.#timeoutMs };
    this.#call = new DriverCall(call);
    this.#processes = new GpuProcesses(call);
    if (options.declared !== null) {
      this.#gpus = declaredGpus(options.nodeId, options.declared, options.visibleDevices);
    }
  }

  get gpus(): readonly Gpu[] {
    return this.#gpus;
  }

  /** How each was used when the driver was asked last, by UUID; nothing of declared ones, nor where it did not answer. */
  get uses(): ReadonlyMap<string, GpuUse> {
    return this.#uses;
  }

  /** What used them then. */
  get processes(): readonly GpuProcess[] {
    return this.#processes.list;
  }

  get #timeoutMs(): number {
    return this.#options.probeTimeoutMs ?? 5_000;
  }

  /** Asks once for the GPUs, for at most the probe's timeout, then goes on asking in the background. */
  async start(): Promise<void> {
    if (this.#options.declared !== null || this.#timer !== null) return;
    this.#timer = setInterval(() => void this.refresh(), this.#options.intervalMs ?? 30_000);
    await this.#refreshGpus();
    void this.#processes.refresh(this.#gpus); // nothing at the start needs it
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Two questions to the driver, the second where there are GPUs; returns when it has answered or its time is over. */
  async refresh(): Promise<void> {
    await this.#refreshGpus();
    await this.#processes.refresh(this.#gpus);
  }

  async #refreshGpus(): Promise<void> {
    const before = JSON.stringify(this.#gpus);
    const run = await this.#call.ask(QUERY_ARGUMENTS);
    this.#gpus = this.#judge(run);
    if (JSON.stringify(this.#gpus) === before) return;
    this.#dependencies.log.info({ gpus: this.#gpus }, 'GPUs changed');
    this.#dependencies.onChange(this.#gpus);
  }

  #judge(run: CommandRun | null): readonly Gpu[] {
    const { visibleDevices } = this.#options;
    this.#uses = new Map();
    if (run === null || run.timedOut) {
      const seconds = this.#timeoutMs / 1000;
      return this.#without(`nvidia-smi did not answer within ${seconds} s; is the driver healthy (dmesg)?`);
    }
    if (run.notFound) return this.#without('nvidia-smi is not on the PATH any more');
    const { gpus, complaints, uses } = parseQuery(run.output);
    this.#uses = uses;
    const known = this.#gpus;
    if (gpus.length === 0 && run.exitCode !== 0) {
      const said = complaints.at(-1) ?? 'nothing';
      return this.#without(`nvidia-smi ended with code ${run.exitCode} and said: ${said}`);
    }
    return mergeProbe(known, { gpus: visibleGpus(gpus, visibleDevices), complaints }, null);
  }

  #without(failure: string): readonly Gpu[] {
    if (this.#gpus.length === 0) this.#dependencies.log.debug({ failure }, 'no GPU found');
    return mergeProbe(this.#gpus, { gpus: [], complaints: [] }, failure);
  }
}

import type { Socket } from 'node:net';
import {
  type IngressSample,
  leftBehind,
  type PartialIngress,
  sumIngress,
} from '../../cluster/metrics/samples.ts';
import { restartDelayMs } from '../../cluster/replicas/restart-delay.ts';
import type { RoutingTable } from '../../cluster/routing/types.ts';
import type { PathSecrets } from '../../config/token.ts';
import { ServeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { describeExit } from '../../lib/process/exit.ts';
import type { ForkedProcess } from '../../lib/process/fork.ts';
import { addPast, type PastLoad } from '../load.ts';
import type { RequestPathOptions } from '../request-path.ts';
import type { IngressProcessState } from '../state.ts';
import { Helper } from './helper.ts';

const START_TIMEOUT_MS = 20_000;
/** A helper that lived so long did not fail to start. */
const SETTLED_AFTER_MS = 5_000;

export interface HelpersDependencies {
  readonly log: Log;
  /** starts the program of a helper */
  readonly fork: () => ForkedProcess;
  /** one more process takes connections: those of the main process shall spread anew */
  readonly onJoined: () => void;
  /** a connection comes back untouched */
  readonly onReturned: (socket: Socket) => void;
  /** what all processes of the ingress have counted */
  readonly measure: () => Promise<IngressSample>;
}

/**
 * The further processes of an ingress: as many as the routing table says, started again when they die. Connections are
 * dealt out in turn: sharing the listening socket instead leaves the dealing to the kernel, which gave one of two
 * processes 31 of 32 connections.
 */
export class Helpers {
  #options: RequestPathOptions;
  readonly #dependencies: HelpersDependencies;
  readonly #helpers = new Set<Helper>();
  #table: RoutingTable | null = null;
  #wanted = 0;
  #turn = 0;
  #failures = 0;
  #retry: NodeJS.Timeout | null = null;
  #isEnding = false;
  #past: PastLoad = { deployments: [], poison: [] };
  #pastSample: PartialIngress = sumIngress([]);

  constructor(options: RequestPathOptions, dependencies: HelpersDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  get all(): readonly Helper[] {
    return [...this.#helpers];
  }

  /** of those that have ended */
  get past(): PastLoad {
    return this.#past;
  }

  get states(): readonly IngressProcessState[] {
    return this.all.map(({ phase, load: { pid, connections, open, inFlight, queued } }) => ({
      ...{ pid, phase, connections, open, inFlight, queued },
    }));
  }

  /** Tells them the table, and starts or sends away as many as it says. */
  adopt(table: RoutingTable): void {
    this.#table = table;
    for (const helper of this.#helpers) helper.tell({ do: 'adopt', table });
    this.#wanted = table.ingressProcesses - 1;
    this.#fill();
    for (const helper of this.#staying.slice(this.#wanted)) helper.leave();
  }

  /** Whose turn it is to take a connection: a helper's, or (null) the main process'. */
  next(): Helper | null {
    if (this.#helpers.size === 0) return null;
    const serving = this.all.filter((helper) => helper.phase === 'serving');
    this.#turn = (this.#turn + 1) % (serving.length + 1);
    const helper = serving[this.#turn - 1];
    return helper?.canTake ? helper : null;
  }

  renew(): void {
    for (const helper of this.#helpers) helper.tell({ do: 'renew' });
  }

  /** Tells them other secrets, and those that follow. @throws ServeError HELPER_SILENT where one does not take them in time */
  async useSecrets(secrets: PathSecrets): Promise<void> {
    this.#options = { ...this.#options, secrets };
    const followed = await Promise.all(this.all.map((helper) => helper.useSecrets(secrets)));
    if (followed.every(Boolean)) return;
    throw new ServeError('a further process of the ingress does not take the new keys', {
      code: 'HELPER_SILENT',
    });
  }

  /** Asks all for their load. */
  async refresh(): Promise<void> {
    await Promise.all(this.all.map((helper) => helper.refresh()));
  }

  /** What each has counted, and what those left that have ended. */
  async measure(): Promise<readonly PartialIngress[]> {
    await Promise.all(this.all.map((helper) => helper.measure()));
    return [...this.all.map((helper) => helper.sample), this.#pastSample];
  }

  /** @returns whether the requests of all were over within `graceMs` */
  async drain(graceMs: number): Promise<boolean> {
    this.#isEnding = true;
    return (await Promise.all(this.all.map((helper) => helper.drain(graceMs)))).every(Boolean);
  }

  /** Ends all. Idempotent. */
  async stop(): Promise<void> {
    this.#isEnding = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    await Promise.all(this.all.map((helper) => helper.end()));
  }

  get #staying(): readonly Helper[] {
    return this.all.filter((helper) => helper.phase !== 'leaving');
  }

  #fill(): void {
    if (this.#retry !== null || this.#isEnding) return;
    for (let missing = this.#wanted - this.#staying.length; missing > 0; missing -= 1) this.#start();
  }

  #start(): void {
    const table = this.#table;
    if (table === null) return;
    const forked = this.#dependencies.fork();
    const deadline = setTimeout(() => forked.kill('SIGKILL'), START_TIMEOUT_MS);
    const helper = new Helper(forked, {
      onReady: () => {
        clearTimeout(deadline);
        this.#dependencies.log.info({ pid: forked.pid }, 'a further process takes connections');
        this.#spread(helper);
      },
      onAsked: (asking, ask) => void this.#answer(asking, ask),
      onEnded: (_helper, untaken) => {
        clearTimeout(deadline);
        this.#helpers.delete(helper);
        this.#past = addPast(this.#past, helper.load);
        this.#pastSample = sumIngress([this.#pastSample, leftBehind(helper.sample)]);
        for (const socket of untaken) this.#dependencies.onReturned(socket);
        void forked.exited.then((exit) => this.#onEnded(helper, describeExit(exit)));
      },
    });
    this.#helpers.add(helper);
    helper.tell({ do: 'begin', options: this.#options, table });
  }

  async #answer(helper: Helper, ask: number): Promise<void> {
    const sample = await this.#dependencies.measure().catch(() => null);
    helper.tell({ do: 'answer', ask, sample });
  }

  /** Connections are kept for long: where there is one process more, all are dealt out once again. */
  #spread(joined: Helper): void {
    for (const helper of this.#helpers) if (helper !== joined) helper.tell({ do: 'renew' });
    this.#dependencies.onJoined();
  }

  #onEnded(helper: Helper, exit: string): void {
    if (helper.phase === 'leaving') {
      this.#dependencies.log.info({ pid: helper.load.pid }, 'a further process has left');
      return;
    }
    this.#dependencies.log.error({ pid: helper.load.pid, exit }, 'a further process ended');
    const livedMs = performance.now() - helper.startedMs;
    this.#failures = livedMs < SETTLED_AFTER_MS ? this.#failures + 1 : 0;
    this.#retry ??= setTimeout(
      () => {
        this.#retry = null;
        this.#fill();
      },
      restartDelayMs(this.#failures - 1),
    );
  }
}

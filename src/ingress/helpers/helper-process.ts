import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { IngressSample } from '../../cluster/metrics/samples.ts';
import type { RoutingTable } from '../../cluster/routing/types.ts';
import { messageOf, ServeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { NodeTls } from '../../lib/tls/node-tls.ts';
import { RequestPath, type RequestPathOptions } from '../request-path.ts';
import type { FromHelper, ToHelper } from './messages.ts';

/** How long a helper waits for its channels to replicas before it takes connections all the same. */
const CONNECT_MS = 2_000;
const LOOK_MS = 10;
const ANSWER_MS = 2_000;
/** What is under way when the main process dies has so long to finish. */
const ORPHAN_MS = 8_000;

export interface HelperProcessDependencies {
  readonly log: Log;
  /** to the main process; resolves when it is written, or cannot be */
  readonly say: (message: FromHelper) => Promise<void>;
  /** this process may end */
  readonly onEnd: () => void;
}

/** The inside of a helper: does with its request path what the main process tells it. */
export class HelperProcess {
  readonly #dependencies: HelperProcessDependencies;
  #path: RequestPath | null = null;
  /** told to begin; null before */
  #opened: Promise<RequestPath> | null = null;
  #ending: Promise<void> | null = null;
  /** what was asked of the main process, by number */
  readonly #asked = new Map<number, (sample: IngressSample | null) => void>();
  #lastAsk = 0;

  constructor(dependencies: HelperProcessDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param socket of a client; undefined also where it was gone before it arrived */
  receive(message: ToHelper, socket: Socket | undefined): void {
    if (message.do === 'begin') {
      this.#opened = this.#open(message.options, message.table);
      this.#opened.then(
        (path) => this.#begin(path, message.table),
        (error) => {
          this.#dependencies.log.error({ error: messageOf(error) }, 'this process cannot begin');
          this.#dependencies.onEnd();
        },
      );
      return;
    }
    if (this.#path !== null) this.#obey(this.#path, message, socket);
    else this.#opened?.then((path) => this.#obey(path, message, socket)).catch(() => {}); // told above
  }

  /** The main process is gone: nothing new comes, and what is under way is finished as far as it can be. */
  async orphaned(): Promise<void> {
    const path = this.#path;
    if (path !== null) {
      await path.drain(ORPHAN_MS);
      await path.stop();
    }
    this.#dependencies.onEnd();
  }

  /** @throws ServeError TLS_FILE */
  async #open(options: RequestPathOptions, table: RoutingTable): Promise<RequestPath> {
    const tls = await NodeTls.resume(options.tls);
    tls.start(this.#dependencies.log);
    const path = new RequestPath(options, {
      ...{ log: this.#dependencies.log, tls },
      onLocalChange: () => {},
      measure: () => this.#askForSample(),
      role: 'ingress-helper',
    });
    this.#path = path;
    path.adopt(table);
    return path;
  }

  async #begin(path: RequestPath, table: RoutingTable): Promise<void> {
    await path.start();
    const end = performance.now() + CONNECT_MS;
    while (!isConnected(path, table) && performance.now() < end) await delay(LOOK_MS);
    await this.#dependencies.say({ say: 'ready' });
  }

  #obey(path: RequestPath, message: ToHelper, socket: Socket | undefined): void {
    const { say } = this.#dependencies;
    switch (message.do) {
      case 'adopt':
        path.adopt(message.table);
        return;
      case 'secrets':
        void path.useSecrets(message.secrets).then(() => say({ say: 'following', ask: message.ask }));
        return;
      case 'take':
        void say({ say: 'took' });
        if (socket !== undefined) path.take(socket);
        return;
      case 'renew':
        path.renewConnections();
        return;
      case 'report':
        void say({ say: 'load', ask: message.ask, load: path.load });
        return;
      case 'measure':
        void say({ say: 'sample', ask: message.ask, sample: path.sample });
        return;
      case 'answer':
        this.#asked.get(message.ask)?.(message.sample);
        return;
      case 'drain':
        void path
          .drain(message.graceMs)
          .then((drained) => say({ say: 'drained', ask: message.ask, drained }));
        return;
      case 'leave':
        path.renewConnections();
        void path.untilDeserted().then(() => this.#end(path));
        return;
      case 'end':
        void this.#end(path);
    }
  }

  /** Metrics are of the whole ingress, whichever process a client asks. @throws ServeError where the main one does not answer */
  #askForSample(): Promise<IngressSample> {
    this.#lastAsk += 1;
    const ask = this.#lastAsk;
    return new Promise((resolve, reject) => {
      const settle = (sample: IngressSample | null): void => {
        clearTimeout(deadline);
        this.#asked.delete(ask);
        if (sample !== null) resolve(sample);
        else reject(new ServeError('the main process does not say what it counted', { code: 'NO_METRICS' }));
      };
      const deadline = setTimeout(() => settle(null), ANSWER_MS);
      this.#asked.set(ask, settle);
      void this.#dependencies.say({ say: 'asks', ask });
    });
  }

  #end(path: RequestPath): Promise<void> {
    this.#ending ??= path
      .stop()
      .then(() => this.#dependencies.say({ say: 'sample', ask: 0, sample: path.sample }))
      .then(() => this.#dependencies.say({ say: 'load', ask: 0, load: path.load }))
      .then(() => this.#dependencies.onEnd());
    return this.#ending;
  }
}

/** Every deployment that has replicas can reach one. */
function isConnected(path: RequestPath, table: RoutingTable): boolean {
  const up = new Set(path.load.deployments.filter(({ ready }) => ready > 0).map((one) => one.deployment));
  return table.deployments.every(({ deployment, endpoints }) => endpoints.length === 0 || up.has(deployment));
}

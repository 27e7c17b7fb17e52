import type { DeploymentSample } from '../cluster/metrics/samples.ts';
import { choose } from '../cluster/routing/choose.ts';
import type { DeploymentRoute } from '../cluster/routing/types.ts';
import { type Queueable, WaitQueue } from '../lib/wait-queue.ts';
import { DeploymentMeter, outcomeOfError } from './deployment-meter.ts';
import { type FrameworkError, notReady, queueFull } from './framework-error.ts';
import type { Target } from './target.ts';

/** A request, as the queue knows it. */
export interface Waiting extends Queueable<Waiting> {
  /** it is its turn: send it there */
  start(target: Target): void;
  /** it will not be sent; it has left the queue */
  reject(error: FrameworkError): void;
}

/** What status and metrics say of a deployment at this ingress; counts since the process started. */
export interface DeploymentCounts {
  readonly deployment: string;
  /** replicas that can be reached and say that they are ready */
  readonly ready: number;
  readonly inFlight: number;
  readonly queued: number;
  readonly requests: number;
  /** answers that the runner flagged: user code failed or said `status: 0` */
  readonly applicationErrors: number;
  /** answers of the framework, by code */
  readonly frameworkErrors: Readonly<Record<string, number>>;
}

/**
 * One deployment at one ingress: gives each request to a replica (of this node first), or lets it wait its turn, in
 * order and within the bound.
 */
export class DeploymentQueue {
  readonly #random: () => number;
  readonly #waiting = new WaitQueue<Waiting>();
  readonly #frameworkErrors: Record<string, number> = {};
  #route: DeploymentRoute;
  #near: readonly Target[] = [];
  #far: readonly Target[] = [];
  #inFlight = 0;
  #requests = 0;
  readonly meter = new DeploymentMeter();

  constructor(route: DeploymentRoute, random: () => number) {
    this.#route = route;
    this.#random = random;
  }

  get route(): DeploymentRoute {
    return this.#route;
  }

  get counts(): DeploymentCounts {
    return {
      deployment: this.#route.deployment,
      ready: this.#ready,
      inFlight: this.#inFlight,
      queued: this.#waiting.size,
      requests: this.#requests,
      applicationErrors: this.meter.countOf('application_error'),
      frameworkErrors: { ...this.#frameworkErrors },
    };
  }

  get sample(): DeploymentSample {
    const { deployment } = this.#route;
    const gauges = { inFlight: this.#inFlight, queued: this.#waiting.size, ready: this.#ready };
    return this.meter.sample(deployment, gauges);
  }

  get #ready(): number {
    return [...this.#near, ...this.#far].filter((target) => target.isUp).length;
  }

  /** Whether a replica can be reached and says that it is ready. */
  get isUp(): boolean {
    return this.#near.some((target) => target.isUp) || this.#far.some((target) => target.isUp);
  }

  /** Takes over what a new routing table says. */
  adopt(route: DeploymentRoute, near: readonly Target[], far: readonly Target[]): void {
    this.#route = route;
    this.#near = near;
    this.#far = far;
    this.pump();
  }

  /** Why a request would not be taken now; null where it would be. Asked before its body is read. */
  refusal(): FrameworkError | null {
    if (this.#waiting.size === 0 && this.#choose() !== null) return null;
    if (this.#isHopeless()) return notReady(this.#route.deployment, this.#route.availability);
    return this.#waiting.size >= this.#route.maxQueuedRequests ? queueFull(this.#route) : null;
  }

  /** Sends it now, lets it wait, or rejects it. */
  submit(request: Waiting): void {
    const target = this.#waiting.size === 0 ? this.#choose() : null;
    if (target !== null) {
      this.#start(request, target);
      return;
    }
    const refusal = this.refusal();
    if (refusal !== null) request.reject(refusal);
    else this.#waiting.pushBack(request);
  }

  /** For one that was sent and comes back: it keeps its turn, and the bound does not count it. */
  requeue(request: Waiting): void {
    this.#waiting.pushFront(request);
    this.pump();
  }

  /** It does not wait any more (its client left, its time is over). */
  withdraw(request: Waiting): void {
    this.#waiting.remove(request);
  }

  /** One that was started has left its replica. */
  finished(): void {
    this.#inFlight -= 1;
  }

  countRequest(): void {
    this.#requests += 1;
  }

  /** The ingress itself answered a request: it is over. */
  countFrameworkError({ code, status }: FrameworkError): void {
    this.#frameworkErrors[code] = (this.#frameworkErrors[code] ?? 0) + 1;
    this.meter.count(outcomeOfError(status));
  }

  /** Gives out what waits, as far as there is room; called whenever there may be. */
  pump(): void {
    while (this.#waiting.size > 0) {
      const target = this.#choose();
      if (target === null) break;
      const request = this.#waiting.shift();
      if (request !== null) this.#start(request, target);
    }
    if (this.#waiting.size > 0 && this.#isHopeless()) {
      this.rejectAll(notReady(this.#route.deployment, this.#route.availability));
    }
  }

  rejectAll(error: FrameworkError): void {
    for (const request of this.#waiting.drain()) request.reject(error);
  }

  #choose(): Target | null {
    return choose(this.#near, this.#random) ?? choose(this.#far, this.#random);
  }

  #start(request: Waiting, target: Target): void {
    this.#inFlight += 1;
    request.start(target);
  }

  /** Nothing is ready, and nothing says that something will be. */
  #isHopeless(): boolean {
    return this.#route.availability.state !== 'expected' && !this.isUp;
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { EnvironmentList, Measurements, SeriesQuery } from '../admin/types.ts';
import type { EnvironmentSample, NodeSample } from '../cluster/metrics/samples.ts';
import type { MetricTick, Series } from '../cluster/metrics/series.ts';
import { modelserveVersion } from '../config/version.ts';
import type { ControlPlane } from '../controller/control-plane.ts';
import type { Leader } from '../controller/leader.ts';
import type { LeaderState } from '../controller/leader-state.ts';
import { ClusterMeasurer } from '../controller/metrics/cluster-measurer.ts';
import { readSeries } from '../controller/metrics/read-series.ts';
import { loadSeries, saveSeries } from '../controller/metrics/series-file.ts';
import { mapConcurrently } from '../lib/concurrency.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { Rounds } from '../lib/rounds.ts';
import { clusterExposition } from '../telemetry/metrics/cluster-metrics.ts';
import type { NodeCalls } from './node-calls.ts';

export interface MeasurerOptions {
  /** where values over time are kept over restarts */
  readonly file: string;
}

export interface MeasurerDependencies {
  readonly calls: Pick<NodeCalls, 'nodes' | 'ask'>;
  readonly plane: Pick<ControlPlane, 'status' | 'otherLeader'>;
  readonly leader: Pick<Leader, 'leadership' | 'looks'>;
  readonly state: Pick<LeaderState, 'revision'>;
  readonly log: Log;
}

/** So often nodes are asked while somebody watches. */
const WATCHED_MS = 2_000;
/** So often else: once a slot of what is kept over time. */
const UNWATCHED_MS = 10_000;
const SAVE_EVERY_MS = 300_000;
/** A head that ends does not wait longer for its file. */
const SAVE_MS = 5_000;
const NODES_AT_ONCE = 16;

/** Asks nodes what they have counted, keeps it over time, and gives it to the admin API. */
export class Measurer implements Measurements {
  readonly #options: MeasurerOptions;
  readonly #dependencies: MeasurerDependencies;
  readonly #measurer = new ClusterMeasurer(Date.now());
  readonly #rounds = new Rounds(WATCHED_MS, () => this.#round());
  readonly #listeners = new Set<(tick: MetricTick) => void>();
  #lastTick: MetricTick | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;
  #savedMs = performance.now();
  #isStopped = false;

  constructor(options: MeasurerOptions, dependencies: MeasurerDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Takes in what an earlier head measured, and measures from here on. */
  async start(): Promise<void> {
    try {
      await loadSeries(this.#options.file, this.#measurer.series);
    } catch (error) {
      const { file } = this.#options;
      this.#dependencies.log.warn(
        { file, error: messageOf(error) },
        'what was measured before is lost in part',
      );
    }
    this.#rounds.start();
  }

  /** Idempotent; what was measured is on disk then. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    await this.#rounds.stop();
    await Promise.race([this.#save(), delay(SAVE_MS, undefined, { ref: false })]);
  }

  get isOpen(): boolean {
    return this.#dependencies.state.revision?.settings.metricsOpen ?? false;
  }

  get samples(): readonly NodeSample[] {
    return this.#measurer.nodes;
  }

  series(query: SeriesQuery): Series {
    return readSeries(this.#measurer.series, query);
  }

  /**
   * Calls back at each look, and at once with the last one where it is not old; there are more of them while somebody
   * listens. @returns what ends that
   */
  onTick(listener: (tick: MetricTick) => void): () => void {
    this.#listeners.add(listener);
    if (this.#lastTick !== null && performance.now() - this.#askedMs < 2 * UNWATCHED_MS)
      listener(this.#lastTick);
    return () => this.#listeners.delete(listener);
  }

  async environments(node: string | null): Promise<EnvironmentList> {
    const silent: string[] = [];
    const { calls } = this.#dependencies;
    const asked = calls.nodes.filter(({ nodeId }) => node === null || nodeId === node);
    const found = await mapConcurrently(asked, NODES_AT_ONCE, async (record) => {
      try {
        const { environments } = await calls.ask<{ readonly environments: readonly EnvironmentSample[] }>(
          record,
          '/node/environments',
        );
        return environments.map((one) => ({ node: record.nodeId, ...one }));
      } catch {
        silent.push(record.nodeId);
        return [];
      }
    });
    return { environments: found.flat(), silent };
  }

  async exposition(): Promise<string> {
    const { plane, leader } = this.#dependencies;
    return clusterExposition({
      version: modelserveVersion(),
      status: await plane.status(),
      isLeader: leader.leadership !== null,
      epoch: leader.leadership?.epoch ?? 0,
      looks: leader.looks,
      nodes: this.#measurer.nodes,
      totals: this.#measurer.totals,
      works: this.#measurer.works,
    });
  }

  async #round(): Promise<void> {
    const everyMs = this.#listeners.size > 0 ? WATCHED_MS : UNWATCHED_MS;
    const nowMs = performance.now();
    if (nowMs - this.#askedMs < everyMs - WATCHED_MS / 2) return;
    this.#askedMs = nowMs;
    try {
      await this.#look();
    } catch (error) {
      this.#dependencies.log.warn({ error: messageOf(error) }, 'the cluster could not be measured');
    }
    if (performance.now() - this.#savedMs > SAVE_EVERY_MS) await this.#save();
  }

  async #look(): Promise<void> {
    const { plane, calls } = this.#dependencies;
    if ((await plane.otherLeader()) !== null) return; // that head measures
    const asked = await mapConcurrently(calls.nodes, NODES_AT_ONCE, (record) =>
      calls.ask<NodeSample>(record, '/node/metrics').catch(() => null),
    );
    const samples = asked.filter((sample) => sample !== null);
    const tick = this.#measurer.take({ atMs: Date.now(), samples, status: await plane.status() });
    this.#lastTick = tick;
    for (const listener of this.#listeners) listener(tick);
  }

  async #save(): Promise<void> {
    this.#savedMs = performance.now();
    try {
      await saveSeries(this.#options.file, this.#measurer.series);
    } catch (error) {
      this.#dependencies.log.warn({ error: messageOf(error) }, 'what was measured cannot be kept');
    }
  }
}

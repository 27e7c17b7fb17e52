import type { EnvironmentList, Measurements, SeriesQuery } from '../admin/types.ts';
import type { MetricTick, Series } from '../cluster/metrics/series.ts';

/** What was measured of the whole cluster, for the admin API. */
export class Measurer implements Measurements {
  readonly isOpen = false;

  series(_query: SeriesQuery): Series {
    return { stepS: 10, atMs: [], deployments: {}, nodes: {} };
  }

  async environments(): Promise<EnvironmentList> {
    return { environments: [], silent: [] };
  }

  async exposition(): Promise<string> {
    return '';
  }

  onTick(_listener: (tick: MetricTick) => void): () => void {
    return () => undefined;
  }
}

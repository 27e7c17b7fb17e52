import { FAILURES } from '../../cluster/metrics/outcomes.ts';
import type { DeploymentSeries, Points } from '../../cluster/metrics/series.ts';

/** What failed, of any kind: 0 where there were measurements and no failure, null where nothing was measured. */
export function failuresOf({
  requestsPerS,
  outcomesPerS,
}: Pick<DeploymentSeries, 'requestsPerS' | 'outcomesPerS'>): Points {
  const lists = FAILURES.map((outcome) => outcomesPerS[outcome]);
  return requestsPerS.map((all, index) =>
    all === null ? null : lists.reduce((sum, list) => sum + (list?.[index] ?? 0), 0),
  );
}

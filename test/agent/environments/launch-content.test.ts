import { expect, it } from 'vitest';
import { launchOf } from '../../../src/agent/environments/launch-content.ts';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';

it('gives a runner all it needs for a spec that an older version recorded', () => {
  const recorded = { name: 'Echo', packageName: 'Echo', backend: 'Backend', models: [], userConfig: null };
  expect(launchOf(recorded as unknown as PinnedSpec, '/code', '/stage')).toMatchObject({
    max_ongoing: 16,
    concurrency: 1,
    max_batch_size: 1,
    batch_wait_timeout_s: 0,
  });
});

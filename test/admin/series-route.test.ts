import Fastify from 'fastify';
import { expect, it } from 'vitest';
import { addRoutes } from '../../src/admin/route.ts';
import { measurementRoutes } from '../../src/admin/routes/measurement-routes.ts';
import type { SeriesQuery } from '../../src/admin/types.ts';
import { echoMeasurements } from '../support/admin-parts.ts';

it('has series end with the last ten seconds that are over', async () => {
  const app = Fastify();
  addRoutes(app, measurementRoutes(echoMeasurements));
  const beforeMs = Date.now();
  const answer = await app.inject('/api/v1/series');
  const [{ fromMs, toMs }] = answer.json<{ readonly given: readonly [SeriesQuery] }>().given;
  expect(toMs).toBeGreaterThanOrEqual(beforeMs - 10_000);
  expect(toMs).toBeLessThanOrEqual(Date.now() - 10_000);
  expect(toMs - fromMs).toBe(3_600_000);
});

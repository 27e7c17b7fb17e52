import { z } from 'zod';
import { series } from '../answers/measurement-answers.ts';
import { moment } from '../moment.ts';
import { type Route, route } from '../route.ts';
import type { Measurements, SeriesQuery } from '../types.ts';

const HOUR_MS = 3_600_000;
/** What is measured is put together so long. */
const SLOT_MS = 10_000;

/** Each name is looked up for every step, whether or not something has it. */
const MOST_NAMES = 250;

const names = z
  .string()
  .optional()
  .describe(`up to ${MOST_NAMES} names, separated by commas; \`*\`: all`)
  .transform((text) =>
    text === '*' ? null : [...new Set((text ?? '').split(','))].filter((name) => name !== ''),
  )
  .refine((list) => (list?.length ?? 0) <= MOST_NAMES, `expected at most ${MOST_NAMES} names`);
const seriesQuery = z.object({
  deployment: names,
  node: names,
  total: z.enum(['0', '1']).default('0').describe('1: all deployments together as well'),
  from: moment.optional().describe('ISO 8601 or ms since 1970; an hour before `to` where not given'),
  to: moment
    .optional()
    .describe('ISO 8601 or ms since 1970; the end of the last full ten seconds where not given'),
  step: z.coerce.number().int().min(10).max(86_400).optional().describe('seconds, a multiple of 10'),
});

const tag = 'measurements';

/** What was measured: over time as JSON, and as it is now for Prometheus. */
export function measurementRoutes(measurements: Measurements): readonly Route[] {
  return [
    route({
      ...{ method: 'GET', path: '/api/v1/series', tag, query: seriesQuery, answer: series },
      summary:
        'rates, errors by kind, latencies, queues, batches and replicas of deployments; load of nodes; 24 hours',
      handle: ({ query }) => measurements.series(wanted(query)),
    }),
    route({
      ...{ method: 'GET', path: '/metrics', tag },
      answer: { type: 'text/plain', description: 'the Prometheus text format, version 0.0.4' },
      summary: 'the whole cluster for Prometheus',
      handle: async ({ reply }) => {
        reply.type('text/plain; version=0.0.4; charset=utf-8');
        return await measurements.exposition();
      },
    }),
  ];
}

function wanted({ deployment, node, total, from, to, step }: z.infer<typeof seriesQuery>): SeriesQuery {
  // The ten seconds that are not over would look as if there were less of everything.
  const toMs = to ?? Date.now() - SLOT_MS;
  return {
    ...{ deployments: deployment, nodes: node, total: total === '1', toMs },
    fromMs: from ?? toMs - HOUR_MS,
    stepS: step === undefined ? null : Math.round(step / 10) * 10,
  };
}

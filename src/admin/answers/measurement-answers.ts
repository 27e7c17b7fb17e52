import { z } from 'zod';
import { OUTCOMES } from '../../cluster/metrics/outcomes.ts';
import type { Series } from '../../cluster/metrics/series.ts';
import type { ModelsDocument } from '../../cluster/status/models-document.ts';
import type { ModelFetch } from '../../cluster/status/types.ts';
import type { EnvironmentList, UploadOffer } from '../types.ts';

/** What the calls about measurements, environments, models and uploads answer. */
const points = z
  .array(z.number().nullable())
  .describe('one for each of `atMs`; null: nothing was measured')
  .meta({ id: 'Points' });

const deploymentSeries = z.object({
  requestsPerS: points,
  outcomesPerS: z.object(Object.fromEntries(OUTCOMES.map((outcome) => [outcome, z.exactOptional(points)]))),
  p50Ms: points,
  p95Ms: points,
  p99Ms: points,
  queueP50Ms: points,
  queueP95Ms: points,
  userCodeP50Ms: points,
  userCodeP95Ms: points,
  batchSize: points,
  queued: points,
  inFlight: points,
  readyReplicas: points,
});
const gpuSeries = z.object({ held: points, busy: points, memoryUsedBytes: points });

export const series = z
  .object({
    stepS: z.number().describe('a multiple of 10'),
    atMs: z.array(z.number()).describe('when each step began, ms since 1970'),
    total: deploymentSeries.nullable().describe('all deployments together; null where it was not asked for'),
    deployments: z.record(z.string(), deploymentSeries).describe('by name'),
    nodes: z
      .record(
        z.string(),
        z.object({ cpu: points, memoryUsedBytes: points, gpus: z.record(z.string(), gpuSeries) }),
      )
      .describe('by id'),
  })
  .meta({ id: 'Series' }) satisfies z.ZodType<Series>;

export const environmentList = z
  .object({
    environments: z.array(
      z.object({
        node: z.string(),
        key: z.string(),
        state: z.enum(['ready', 'building', 'unfinished']),
        description: z.string(),
        packages: z.array(z.string()),
        packageHashes: z
          .array(z.string())
          .describe('hashes of packages that were prepared with it, by their first 16 characters'),
        sizeBytes: z.number(),
        lastUsed: z.string().describe('ISO 8601'),
      }),
    ),
    silent: z.array(z.string()).describe('nodes that did not answer'),
  })
  .meta({ id: 'Environments' }) satisfies z.ZodType<EnvironmentList>;

export const modelList = z
  .object({
    node: z.string(),
    limit_bytes: z.number().nullable(),
    models: z.array(
      z.object({
        hash: z.string().nullable(),
        names: z.array(z.string()),
        size_bytes: z.number(),
        total_bytes: z.number().nullable(),
        is_whole: z.boolean(),
        last_used: z.string().describe('ISO 8601'),
        used_by: z.array(z.string()),
        is_recorded: z.boolean(),
      }),
    ),
    fetches: z.array(
      z.object({
        node: z.string(),
        model: z.string(),
        fetched_bytes: z.number(),
        total_bytes: z.number().nullable(),
        bytes_per_second: z.number(),
        seconds_left: z.number().nullable(),
      }),
    ),
    preparing: z.array(z.object({ node: z.string(), deployment: z.string(), message: z.string() })),
  })
  .meta({ id: 'Models' }) satisfies z.ZodType<ModelsDocument>;

const fetched = z.object({
  model: z.string().describe('its URI, without the query'),
  fetchedBytes: z.number(),
  totalBytes: z.number().nullable(),
  bytesPerSecond: z.number(),
}) satisfies z.ZodType<ModelFetch>;

export const fetchList = z.object({ fetches: z.array(fetched) });
export const seen = z.object({ sees: z.boolean() });
export const held = z.object({ heldBytes: z.number().describe('of the file, here now') });
export const uploadOffer = z
  .object({
    upload: z.string(),
    missing: z.array(z.object({ sha256: z.string(), sizeBytes: z.number(), heldBytes: z.number() })),
  })
  .meta({ id: 'UploadOffer' }) satisfies z.ZodType<UploadOffer>;

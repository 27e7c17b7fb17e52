import { z } from 'zod';
import type { PlannedChange } from '../../cluster/spec/types.ts';
import type { RevisionSummary } from '../../cluster/status/types.ts';
import type { ApplyAnswer, Mistaken, PlanAnswer, RevisionDetail, RevisionDiff } from '../types.ts';

/** What the calls about plans, applies and revisions answer. */
const differences = z.array(
  z
    .object({
      key: z.string().describe('of conf.ini, or `package content`'),
      from: z.string(),
      to: z.string(),
    })
    .meta({ id: 'Difference' }),
);
const changes = z.array(
  z
    .object({
      deployment: z.string(),
      kind: z.enum(['added', 'removed', 'changed', 'retried']),
      effects: z.array(z.enum(['routing', 'scale', 'reconfigure', 'replace'])),
      environment: z.exactOptional(z.string()).describe('what started replicas run in'),
      differences,
    })
    .meta({ id: 'Change' }) satisfies z.ZodType<PlannedChange>,
);
const warnings = z.array(z.string());

const mistaken = z
  .object({ ok: z.literal(false), mistakes: z.array(z.string()), warnings })
  .meta({ id: 'Mistaken' }) satisfies z.ZodType<Mistaken>;
const planned = z
  .object({ ok: z.literal(true), changes, settings: differences, warnings })
  .meta({ id: 'Planned' }) satisfies z.ZodType<PlanAnswer>;
const applied = z
  .object({
    ok: z.literal(true),
    outcome: z.enum(['recorded', 'unchanged']),
    revision: z.number(),
    changes,
    settings: differences,
    deployments: z.array(z.string()),
    warnings,
  })
  .meta({ id: 'Applied' }) satisfies z.ZodType<ApplyAnswer>;

export const planAnswer = z.union([planned, mistaken]);
export const applyAnswer = z.union([applied, mistaken]);
export const editAnswer = z.union([applied, planned, mistaken]);

const summaryFields = {
  number: z.number(),
  createdAt: z.string().describe('ISO 8601'),
  confPath: z.string(),
  origin: z.union([
    z.object({ kind: z.literal('file') }),
    z.object({ kind: z.literal('edited') }),
    z.object({ kind: z.literal('rollback'), of: z.number() }),
  ]),
  deployments: z.array(z.string()),
  inForce: z.array(z.string()).describe('deployments that run as this revision has them'),
  isNewest: z.boolean(),
};
const summary = z.object(summaryFields).meta({ id: 'RevisionSummary' }) satisfies z.ZodType<RevisionSummary>;

export const revisionList = z.object({ revisions: z.array(summary).describe('newest first') });
export const revisionDetail = z
  .object({
    ...summaryFields,
    confText: z.string(),
    settings: z.object({
      port: z.number(),
      ingressProcesses: z.number(),
      maxBodyBytes: z.number(),
      metricsOpen: z.boolean(),
      accessLog: z.boolean(),
    }),
  })
  .meta({ id: 'Revision' }) satisfies z.ZodType<RevisionDetail>;
export const revisionDiff = z
  .object({ from: z.number(), to: z.number(), changes, settings: differences })
  .meta({ id: 'RevisionDiff' }) satisfies z.ZodType<RevisionDiff>;

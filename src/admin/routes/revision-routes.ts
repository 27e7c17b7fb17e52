import { z } from 'zod';
import * as answers from '../answers/revision-answers.ts';
import { type Route, route } from '../route.ts';
import type { RevisionDesk } from '../types.ts';

const number = z.coerce.number().int().positive();
const numbered = z.object({ number });
const base = z
  .number()
  .int()
  .nonnegative()
  .nullable()
  .default(null)
  .describe('the newest revision as the caller knows it; refused with 409 where it is another by now');
const dryRun = z.boolean().default(false).describe('only say what would change');
const editBody = z.object({ text: z.string().describe('of conf.ini'), base, dryRun });
const rollbackBody = z.object({ base, dryRun }).default({ base: null, dryRun: false });
const diffQuery = z.object({ from: number, to: number });
const validateBody = z.object({ text: z.string().describe('of conf.ini') });

const finding = z.object({
  severity: z.enum(['mistake', 'warning']),
  file: z.string(),
  line: z.number().nullable().describe('from 1; null: the file as a whole'),
  column: z.number().nullable().describe('from 1'),
  endColumn: z.number().nullable().describe('exclusive'),
  section: z.string().nullable(),
  key: z.string().nullable(),
  expected: z.string(),
  found: z.string(),
  hint: z.string(),
  message: z.string(),
});
const validation = z.object({ ok: z.boolean(), findings: z.array(finding) });

const tag = 'revisions';

/** What was applied, and new revisions from old ones or from edited text. */
export function revisionRoutes(desk: RevisionDesk): readonly Route[] {
  return [
    route({
      ...{ method: 'GET', path: '/api/v1/revisions', tag, answer: answers.revisionList },
      summary: 'the revisions that the head keeps, newest first',
      handle: async () => ({ revisions: await desk.list() }),
    }),
    route({
      ...{
        method: 'GET',
        path: '/api/v1/revisions/{number}',
        tag,
        params: numbered,
        answer: answers.revisionDetail,
      },
      summary: 'one revision, with the text of its conf.ini',
      handle: async ({ params }) => await desk.read(params.number),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/diff', tag, query: diffQuery, answer: answers.revisionDiff },
      summary: 'what going from one revision to another changes',
      handle: async ({ query: { from, to } }) => await desk.diff(from, to),
    }),
    route({
      ...{ method: 'POST', path: '/api/v1/validate', tag, body: validateBody, answer: validation },
      summary: 'mistakes and warnings of a text, as if it stood where the newest revision’s conf.ini does',
      handle: async ({ body: { text } }) => await desk.validate(text),
    }),
    ...changeRoutes(desk),
  ];
}

function changeRoutes(desk: RevisionDesk): readonly Route[] {
  return [
    route({
      ...{ method: 'POST', path: '/api/v1/revisions', tag, body: editBody, answer: answers.editAnswer },
      summary: 'brings an edited conf.ini into force, in place of the newest revision’s',
      handle: async ({ body, signal }) => {
        const edit = { base: body.base, change: { kind: 'edited', text: body.text } } as const;
        return body.dryRun ? await desk.plan(edit, signal) : await desk.apply(edit, signal);
      },
    }),
    route({
      ...{ method: 'POST', path: '/api/v1/revisions/{number}/rollback', tag },
      params: numbered,
      body: rollbackBody,
      answer: answers.editAnswer,
      summary: 'a new revision with the content of an earlier one: code, models and settings as they were',
      handle: async ({ params, body, signal }) => {
        const edit = { base: body.base, change: { kind: 'rollback', of: params.number } } as const;
        return body.dryRun ? await desk.plan(edit, signal) : await desk.apply(edit, signal);
      },
    }),
  ];
}

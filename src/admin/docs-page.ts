import { z } from 'zod';
import type { Route } from './route.ts';

/** The calls of the API as a page for people, made from the same routes as the OpenAPI document. */
export function docsPage(routes: readonly Route[], version: string): string {
  const tags = [...new Set(routes.map(({ tag }) => tag))];
  const sections = tags.map((tag) => section(tag, routes));
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>modelserve admin API</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
h3{font:600 15px ui-monospace,monospace;margin:1.5rem 0 .2rem}td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}
code{font-family:ui-monospace,monospace}</style></head><body><h1>modelserve admin API ${text(version)}</h1>
<p>Every call needs <code>authorization: Bearer KEY</code> (<code>modelserve key api</code> prints the key); errors are JSON
<code>{"code", "info"}</code>. For programs: <a href="/api/v1/openapi.json">openapi.json</a>.</p>
${sections.join('\n')}</body></html>\n`;
}

function section(tag: string, routes: readonly Route[]): string {
  return `<h2>${text(tag)}</h2>\n${routes
    .filter((route) => route.tag === tag)
    .map(call)
    .join('\n')}`;
}

function call({ method, path, summary, params, query, body }: Route): string {
  const rows = [
    ...fields(params, 'path'),
    ...fields(query, 'query'),
    ...(body === null ? [] : fields(body, 'body')),
  ];
  const table = rows.length === 0 ? '' : `<table>${rows.join('')}</table>`;
  return `<h3>${method} ${text(path)}</h3><p>${text(summary)}</p>${table}`;
}

interface Field {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
}

function fields(schema: z.ZodType, place: string): readonly string[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
  }) as {
    readonly properties?: Readonly<Record<string, Field>>;
    readonly required?: readonly string[];
  };
  return Object.entries(properties).map(([name, field]) => {
    const need = required.includes(name) ? 'required' : `default ${JSON.stringify(field.default ?? null)}`;
    const cells = [
      `<code>${text(name)}</code>`,
      `in ${place}`,
      [field.type ?? ''].flat().join(' or '),
      need,
      field.description ?? '',
    ];
    return `<tr>${cells.map((cell, index) => `<td>${index === 0 ? cell : text(cell)}</td>`).join('')}</tr>`;
  });
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function text(value: string): string {
  return value.replace(/[&<>"]/g, (found) => ESCAPES[found] ?? found);
}

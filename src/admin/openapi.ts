import { z } from 'zod';
import type { OtherAnswer, Route } from './route.ts';

/** What the document says of the server itself. */
export interface ApiDescription {
  readonly version: string;
}

const ERROR = z.object({
  code: z.string().describe('for programs'),
  info: z.string().describe('what happened, and what to do'),
});

/** The OpenAPI 3.1 document of the routes, made from the schemas that check their calls. */
export function openApiDocument(routes: readonly Route[], { version }: ApiDescription): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'modelserve admin API', version },
    security: [{ key: [] }],
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    paths,
  };
}

function operation(route: Route): object {
  const { method, path, summary, tag, params, query, body, answer } = route;
  const parameters = [...parametersOf(params, 'path'), ...parametersOf(query, 'query')];
  return {
    operationId: operationId(method, path),
    ...{ summary, tags: [tag] },
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === null ? {} : { requestBody: { required: true, content: json(schemaOf(body, 'input')) } }),
    responses: {
      '200': { description: summary, content: answerOf(answer) },
      default: { description: 'it could not be done', content: json(schemaOf(ERROR, 'output')) },
    },
  };
}

function answerOf(answer: z.ZodType | OtherAnswer | null): object {
  if (answer === null) return json({ type: 'object' });
  if (answer instanceof z.ZodType) return json(schemaOf(answer, 'output'));
  return { [answer.type]: { schema: { type: 'string', description: answer.description } } };
}

function json(schema: object): object {
  return { 'application/json': { schema } };
}

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, { readonly description?: string }>>;
  readonly required?: readonly string[];
}

function parametersOf(schema: z.ZodType, place: 'path' | 'query'): readonly object[] {
  const { properties = {}, required = [] } = schemaOf(schema, 'input') as ObjectSchema;
  return Object.entries(properties).map(([name, { description, ...shape }]) => ({
    ...{ name, in: place, required: place === 'path' || required.includes(name), schema: shape },
    ...(description === undefined ? {} : { description }),
  }));
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...plain } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return plain;
}

function operationId(method: string, path: string): string {
  const words = path.replace(/^\/(api\/v1\/)?/, '').replace(/[{}]/g, '');
  return [method.toLowerCase(), ...words.split(/[^A-Za-z0-9]+/)].join('_');
}

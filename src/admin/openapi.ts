import { z } from 'zod';
import { BYTES, type OtherAnswer, type Route } from './route.ts';

/** What the document says of the server itself. */
export interface ApiDescription {
  readonly version: string;
}

const ERROR = z
  .object({
    code: z.string().describe('for programs'),
    info: z.string().describe('what happened, and what to do'),
  })
  .meta({ id: 'Error' });

/** Schemas with a name, which stand once in the document however many calls have them. */
type Named = Record<string, object>;

/** The OpenAPI 3.1 document of the routes, made from the schemas that check their calls. */
export function openApiDocument(routes: readonly Route[], { version }: ApiDescription): object {
  const paths: Record<string, Record<string, object>> = {};
  const schemas: Named = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route, schemas) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'modelserve admin API', version },
    security: [{ key: [] }],
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } }, schemas },
    paths,
  };
}

function operation(route: Route, named: Named): object {
  const { method, path, summary, tag, params, query, body, answer } = route;
  const parameters = [...parametersOf(params, 'path'), ...parametersOf(query, 'query')];
  return {
    operationId: operationId(method, path),
    ...{ summary, tags: [tag] },
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === null ? {} : { requestBody: bodyOf(body) }),
    responses: {
      '200': { description: summary, content: answerOf(answer, named) },
      default: { description: 'it could not be done', content: json(answerSchema(ERROR, named)) },
    },
  };
}

function bodyOf(body: z.ZodType): object {
  const bytes = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };
  return {
    required: !body.safeParse(undefined).success,
    content: body === BYTES ? bytes : json(schemaOf(body, 'input')),
  };
}

function answerOf(answer: z.ZodType | OtherAnswer | null, named: Named): object {
  if (answer === null) return json({ type: 'object' });
  if (answer instanceof z.ZodType) return json(answerSchema(answer, named));
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

/** Later versions may answer more: what is not told of is allowed. */
function answerSchema(schema: z.ZodType, named: Named): object {
  const text = JSON.stringify(schemaOf(schema, 'output'), (key, value) =>
    key === 'additionalProperties' && value === false ? undefined : value,
  );
  const { $defs = {}, ...whole } = JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/')) as {
    readonly $defs?: Named;
  };
  Object.assign(named, $defs);
  return whole;
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...plain } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return plain;
}

function operationId(method: string, path: string): string {
  const words = path.replace(/^\/(api\/v1\/)?/, '').replace(/[{}]/g, '');
  return [method.toLowerCase(), ...words.split(/[^A-Za-z0-9]+/)].join('_');
}

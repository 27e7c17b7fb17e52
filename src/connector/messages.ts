import { ServeError } from '../lib/errors.ts';
import type { ObjectView } from './opened-object.ts';

/** Changes whenever the messages do: client and server may come from different installations. */
export const CONNECTOR_PROTOCOL = 1;

/** What a client asks for; one line of JSON each, answered by `Answer`s of the same id. */
export type Request = { readonly id: number } & (
  | {
      readonly op: 'hello';
      readonly protocol: number;
      /** processes that name the same one share its objects; it ends with the last of them */
      readonly session: string;
      readonly endpoint: string;
      /** '' for none */
      readonly region: string;
      /** '' for the defaults */
      readonly configPath: string;
      /** '': the client is asked */
      readonly credPath: string;
    }
  | { readonly op: 'list'; readonly bucket: string; readonly prefix: string; readonly fast: boolean }
  | { readonly op: 'open'; readonly uri: string }
  | { readonly op: 'locate'; readonly object: number; readonly offset: number; readonly length: number }
  | { readonly op: 'whole'; readonly object: number }
  | { readonly op: 'prepare'; readonly uri: string; readonly directory: string; readonly whole: boolean }
  /** these three are not answered */
  | { readonly op: 'spend'; readonly object: number; readonly offset: number }
  | { readonly op: 'close'; readonly object: number }
  | {
      /** to an `ask` of that id; `failure` is '' when the credentials are there */
      readonly op: 'credentials';
      readonly keyId: string;
      readonly secret: string;
      readonly token: string;
      readonly failure: string;
    }
);

/** A file of a prepared folder that is held in memory. */
export interface PreparedFile {
  /** below the folder */
  readonly path: string;
  readonly object: number;
  readonly size: number;
}

/** What a server says, one line of JSON each. */
export type Answer =
  | { readonly id: number; readonly page: readonly (readonly [key: string, size: number])[] }
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly error: { readonly code: string; readonly message: string } }
  /** credentials are needed */
  | { readonly ask: number }
  /** what was held in that file is no more: whoever has it open shall close it */
  | { readonly evicted: string };

export type Result =
  | null
  | { readonly folder: string; readonly warnings: readonly string[] }
  | { readonly object: number; readonly size: number }
  | ObjectView
  | { readonly path: string }
  | { readonly directory: string; readonly files: readonly PreparedFile[] };

const FIELDS: { readonly [Op in Request['op']]: Readonly<Record<string, 'string' | 'number' | 'boolean'>> } =
  {
    hello: {
      ...{ protocol: 'number', session: 'string', endpoint: 'string', region: 'string' },
      ...{ configPath: 'string', credPath: 'string' },
    },
    list: { bucket: 'string', prefix: 'string', fast: 'boolean' },
    open: { uri: 'string' },
    locate: { object: 'number', offset: 'number', length: 'number' },
    whole: { object: 'number' },
    prepare: { uri: 'string', directory: 'string', whole: 'boolean' },
    spend: { object: 'number', offset: 'number' },
    close: { object: 'number' },
    credentials: { keyId: 'string', secret: 'string', token: 'string', failure: 'string' },
  };

/** Reads a line of a client. @throws ServeError CONNECTOR_PROTOCOL for what is no request */
export function readRequest(line: string): Request {
  const value = parsed(line);
  const fields = FIELDS[value?.['op'] as Request['op']];
  if (value === null || fields === undefined || typeof value['id'] !== 'number') throw broken('no request');
  for (const [name, type] of Object.entries(fields)) {
    const found = value[name];
    const isRight =
      typeof found === type && (type !== 'number' || (Number.isSafeInteger(found) && Number(found) >= 0));
    if (!isRight) throw broken(`${value['op']} without a right ${name}`);
  }
  return value as unknown as Request;
}

function parsed(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' ? (value as Readonly<Record<string, unknown>> | null) : null;
  } catch {
    return null;
  }
}

function broken(what: string): ServeError {
  return new ServeError(`a client of the connector sent ${what}; it is of another version`, {
    code: 'CONNECTOR_PROTOCOL',
  });
}

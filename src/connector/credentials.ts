import { readFile, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { findJsonMistake, lineAndColumn } from '../config/json-text.ts';
import { messageOf } from '../lib/errors.ts';
import { identityOf } from '../lib/file-identity.ts';
import type { AccessKey } from '../models/sources/sign-s3.ts';
import { SourceError } from '../models/sources/types.ts';

/** What a provider answers; providers of the SDK for Python and of Alibaba's for JavaScript fit. */
export interface ProvidedCredentials {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  /** of temporary credentials */
  readonly securityToken?: string | null | undefined;
}

/** Gives credentials whenever it is asked; it is asked at most every few seconds, and after a refusal. */
export interface CredentialsProvider {
  getCredentials(): ProvidedCredentials | Promise<ProvidedCredentials>;
}

/** The credentials that hold now. */
export interface Credentials {
  /** for each request: from memory as long as nothing has changed. @throws SourceError SOURCE_CREDENTIALS */
  current(): Promise<AccessKey>;
  /** after a refusal: asks anew. @returns whether they are others than before. @throws SourceError SOURCE_CREDENTIALS */
  renew(): Promise<boolean>;
  /** what to do after a refusal, for messages */
  readonly hint: string;
}

/** A provider that asks a token service each time shall not do so for each of a thousand requests a second. */
const ASK_AGAIN_MS = 10_000;
/** Whoever renews the file may be a little late. */
const LATE_MS = 10_000;
const LOOK_AGAIN_MS = 100;

/** Credentials of a provider. */
export function providedCredentials(provider: CredentialsProvider): Credentials {
  let asked: { readonly key: Promise<AccessKey>; readonly atMs: number } | null = null;
  const ask = async (): Promise<AccessKey> => {
    const key = askProvider(provider);
    asked = { key, atMs: performance.now() };
    key.catch(() => {
      asked = null;
    });
    return await key;
  };
  return {
    hint: 'asked with what the credentials provider gave',
    current: async () =>
      asked !== null && performance.now() - asked.atMs < ASK_AGAIN_MS ? await asked.key : await ask(),
    renew: async () => {
      const before = await asked?.key.catch(() => null);
      return isOther(await ask(), before ?? null);
    },
  };
}

async function askProvider(provider: CredentialsProvider): Promise<AccessKey> {
  let given: ProvidedCredentials;
  try {
    given = await provider.getCredentials();
  } catch (cause) {
    throw refused(`the credentials provider failed: ${messageOf(cause)}`, cause);
  }
  const { accessKeyId: id, accessKeySecret: secret, securityToken } = given;
  if (typeof id === 'string' && id !== '' && typeof secret === 'string' && secret !== '') {
    return { id, secret, sessionToken: securityToken || null };
  }
  throw refused('the credentials provider gave no access key id or no secret');
}

interface FileReading {
  readonly identity: string;
  readonly key: AccessKey;
  readonly expiresAtMs: number | null;
}

/**
 * Credentials of a JSON file, read again when it changes, and when they have expired.
 * @param lateMs how long a file is waited for whose credentials have expired
 */
export function fileCredentials(path: string, lateMs: number = LATE_MS): Credentials {
  let reading: FileReading | null = null;
  const read = async (): Promise<FileReading> => {
    const identity = await identityNow(path);
    if (reading?.identity === identity) return reading;
    reading = { identity, ...(await readCredentials(path)) };
    return reading;
  };
  const current = async (): Promise<AccessKey> => {
    const untilMs = performance.now() + lateMs;
    for (;;) {
      const { key, expiresAtMs } = await read();
      if (expiresAtMs === null || Date.now() < expiresAtMs) return key;
      if (performance.now() >= untilMs) {
        const at = new Date(expiresAtMs).toISOString();
        throw refused(`${path}: the credentials expired at ${at}; write new ones before they do`);
      }
      await delay(LOOK_AGAIN_MS);
    }
  };
  return {
    hint: `asked with the credentials of ${path}`,
    current,
    renew: async () => {
      const before = reading?.key ?? null;
      return isOther(await current(), before);
    },
  };
}

async function identityNow(path: string): Promise<string> {
  try {
    return identityOf(await stat(path, { bigint: true }));
  } catch (cause) {
    throw refused(`${path}: the credentials file cannot be read: ${messageOf(cause)}`, cause);
  }
}

async function readCredentials(path: string): Promise<Omit<FileReading, 'identity'>> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw refused(`${path}: the credentials file cannot be read: ${messageOf(cause)}`, cause);
  });
  const mistake = findJsonMistake(text);
  if (mistake !== null) {
    const { line, column } = lineAndColumn(text, mistake.offset);
    throw refused(`${path}:${line}:${column}: expected ${mistake.expected}; credentials are a JSON object`);
  }
  const fields = JSON.parse(text) as Readonly<Record<string, unknown>> | null;
  const of = (name: string): string | null => {
    const value = fields?.[name];
    return typeof value === 'string' && value !== '' ? value : null;
  };
  const [id, secret, expiration] = [of('AccessKeyId'), of('AccessKeySecret'), of('Expiration')];
  if (id === null || secret === null) {
    throw refused(`${path}: ${id === null ? 'AccessKeyId' : 'AccessKeySecret'}: expected a text, found none`);
  }
  const expiresAtMs = expiration === null ? null : Date.parse(expiration);
  if (Number.isNaN(expiresAtMs)) {
    throw refused(`${path}: Expiration: expected a time such as 2024-08-02T15:04:05Z, found "${expiration}"`);
  }
  return { key: { id, secret, sessionToken: of('SecurityToken') }, expiresAtMs };
}

function isOther(now: AccessKey, before: AccessKey | null): boolean {
  return now.id !== before?.id || now.secret !== before.secret || now.sessionToken !== before.sessionToken;
}

function refused(message: string, cause?: unknown): SourceError {
  return new SourceError(message, { code: 'SOURCE_CREDENTIALS' }, { cause });
}

import type { ServerResponse } from 'node:http';
import { refuse, startOss } from '../../connector/oss-double.ts';

const BUCKET = 'example-bucket';
const FOLDER = 'example-model-path/';

/** A bucket of OSS that gives the bytes of a file only when a test lets it. */
export interface OssBucket {
  /** what a program's environment holds to reach it */
  readonly variables: Readonly<Record<string, string>>;
  readonly objects: {
    get(key: string): Buffer | undefined;
    set(key: string, content: Buffer): void;
  };
  /** keys whose bytes do not come until they are let go */
  readonly held: Set<string>;
  /** keys that are refused, with the status */
  readonly refused: Map<string, number>;
  /** `key first-last` of each request for bytes, as they came */
  readonly reads: string[];
  letGo(key: string): void;
}

/** @param objects by their name in the folder that a program loads */
export async function startOssBucket(objects: Readonly<Record<string, Buffer>>): Promise<OssBucket> {
  const named = Object.entries(objects).map(([name, content]) => [`${BUCKET}/${FOLDER}${name}`, content]);
  const oss = await startOss(Object.fromEntries(named));
  const waiting = new Map<string, (() => void)[]>();
  const bucket: OssBucket = {
    variables: {
      ...{ OSS_ACCESS_KEY_ID: 'an-id', OSS_ACCESS_KEY_SECRET: 'a-secret', OSS_ENDPOINT: oss.endpoint },
      OSS_PATH: `oss://${BUCKET}/${FOLDER}`,
    },
    objects: {
      get: (key) => oss.objects.get(`${BUCKET}/${key}`),
      set: (key, content) => void oss.objects.set(`${BUCKET}/${key}`, content),
    },
    ...{ held: new Set(), refused: new Map(), reads: [] },
    letGo: (key) => {
      bucket.held.delete(key);
      for (const go of waiting.get(key) ?? []) go();
      waiting.delete(key);
    },
  };
  oss.trouble = (request, response: ServerResponse) => {
    const key = decodeURIComponent(new URL(request.url ?? '', 'http://x').pathname).slice(BUCKET.length + 2);
    if (key === '') return false;
    bucket.reads.push(`${key} ${request.headers.range?.slice('bytes='.length)}`);
    const go = (): void => {
      const status = bucket.refused.get(key);
      if (status === undefined) oss.answer(request, response);
      else refuse(response, status, 'AccessDenied');
    };
    if (bucket.held.has(key)) waiting.set(key, [...(waiting.get(key) ?? []), go]);
    else go();
    return true;
  };
  return bucket;
}

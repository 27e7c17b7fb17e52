import { ServeError } from '../lib/errors.ts';

export interface OssUri {
  readonly bucket: string;
  /** without a slash at the start */
  readonly key: string;
}

/**
 * Reads `oss://bucket/name`; the name is taken as it is, nothing in it is escaped.
 * @throws ServeError CONNECTOR_URI
 */
export function readOssUri(uri: string): OssUri {
  const [, bucket, key] = /^oss:\/\/([a-z0-9][a-z0-9._-]*)(?:\/(.*))?$/is.exec(uri) ?? [];
  if (bucket !== undefined) return { bucket, key: key ?? '' };
  throw new ServeError(`"${uri}": expected oss://BUCKET/NAME`, { code: 'CONNECTOR_URI' });
}

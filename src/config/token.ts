import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf, ServeError } from '../lib/errors.ts';
import { deriveKey } from '../lib/hash.ts';

/**
 * The cluster token and the keys derived from it (DESIGN: security from the first day). Each key has a prefix that
 * tells which it is and can be handed out alone: from one of them neither the token nor another key follows.
 */
export interface ClusterKeys {
  /** bearer key of the admin API */
  readonly apiKey: string;
  /** bearer key of the admin API for whoever may look and change nothing */
  readonly viewerKey: string;
  /** password of the managed or embedded store */
  readonly storePassword: string;
  /** proves one node's ingress to another's */
  readonly linkKey: string;
  /** bearer key of the nodes' content servers */
  readonly contentKey: string;
  /** bearer key that is good for `/metrics` and nothing else */
  readonly metricsKey: string;
  /** what the authority follows from that signs the nodes' certificates */
  readonly authoritySecret: string;
  /** no secret: tells one cluster from another */
  readonly clusterId: string;
}

const TOKEN_PREFIX = 'mst_';
const API_PREFIX = 'msa_';
const VIEWER_PREFIX = 'msv_';

export function clusterKeys(token: string): ClusterKeys {
  return {
    apiKey: apiKeyOf(token),
    viewerKey: `${VIEWER_PREFIX}${deriveKey(token, 'viewer key')}`,
    storePassword: `msr_${deriveKey(token, 'store password')}`,
    linkKey: `msl_${deriveKey(token, 'link key')}`,
    contentKey: `msc_${deriveKey(token, 'content key')}`,
    metricsKey: `msm_${deriveKey(token, 'metrics key')}`,
    authoritySecret: deriveKey(token, 'certificate authority'),
    clusterId: deriveKey(token, 'cluster id').slice(0, 12),
  };
}

/** A bearer key of the admin API, from the token or from the key itself: `--token` takes either. */
export function apiKeyOf(tokenOrKey: string): string {
  return tokenOrKey.startsWith(API_PREFIX) || tokenOrKey.startsWith(VIEWER_PREFIX)
    ? tokenOrKey
    : `${API_PREFIX}${deriveKey(tokenOrKey, 'api key')}`;
}

/** The token in a file, made there (0600) if the file does not exist yet. */
export async function readOrMakeToken(file: string): Promise<string> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const made = `${TOKEN_PREFIX}${randomBytes(24).toString('base64url')}`;
  try {
    await writeFile(file, `${made}\n`, { mode: 0o600, flag: 'wx' });
    return made;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return await readToken(file);
  }
}

/**
 * @throws ServeError TOKEN_FILE naming the file when it cannot be read or is empty; a file that others may read is
 * closed to them.
 */
export async function readToken(file: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).trim();
    const { mode } = await stat(file);
    if ((mode & 0o077) !== 0) await chmod(file, mode & 0o700).catch(() => undefined);
  } catch (cause) {
    throw new ServeError(
      `cannot read the cluster token in ${file} (${codeOf(cause) ?? 'error'}). Copy it from the head's state directory, or name it with --token-file.`,
      { code: 'TOKEN_FILE' },
      { cause },
    );
  }
  if (text === '')
    throw new ServeError(`the token file ${file} is empty. Copy it again from the head.`, {
      code: 'TOKEN_FILE',
    });
  return text;
}

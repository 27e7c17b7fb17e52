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
  /** no secret: tells one token from another */
  readonly keyId: string;
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
    clusterId: clusterIdOf(token),
    keyId: keyIdOf(token),
  };
}

/** Secrets of the processes that serve a request; of each the first is shown, and all are accepted. Plain JSON. */
export interface PathSecrets {
  readonly linkKeys: readonly [string, ...string[]];
  readonly metricsKeys: readonly [string, ...string[]];
}

/** What the detached processes of a node are told: see PathSecrets. */
export interface NodeSecrets extends PathSecrets {
  readonly storePasswords: readonly [string, ...string[]];
}

/** Of a token, to tell it from others: nothing follows from it. */
export function keyIdOf(token: string): string {
  return deriveKey(token, 'key id').slice(0, 12);
}

/** A new token. @param clusterId of the cluster whose token it replaces; not given: it begins one */
export function newToken(clusterId?: string): string {
  const random = `${TOKEN_PREFIX}${randomBytes(24).toString('base64url')}`;
  return clusterId === undefined ? random : `${random}.${clusterId}`;
}

/** A cluster keeps the id that followed from its first token: those that replaced it carry it behind a point. */
function clusterIdOf(token: string): string {
  const carried = /\.([0-9a-f]{12})$/.exec(token)?.[1];
  return carried ?? deriveKey(token, 'cluster id').slice(0, 12);
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
  const made = newToken();
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

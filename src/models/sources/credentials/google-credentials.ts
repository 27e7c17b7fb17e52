import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Variables } from '../../../config/environment.ts';
import type { ModelUri } from '../../../config/model-uri.ts';
import { readIfThere } from '../../../lib/files.ts';
import type { AskServer } from '../connections.ts';
import type { AccessKey } from '../sign-s3.ts';
import { SourceError } from '../types.ts';
import { cloudEntry } from './cloud-file.ts';
import { fileSigner, fileToken, type GoogleSigner } from './google-file.ts';
import type { Lease } from './renewable.ts';
import { readToken } from './token-answer.ts';

/** How requests to Google Cloud Storage say who asks. */
export interface GoogleCredentials {
  readonly token: string | null;
  /** an HMAC key, for signatures of S3's kind; null for none */
  readonly key: AccessKey | null;
  /** for messages; null: no credentials were found */
  readonly origin: string | null;
}

type GoogleLease = Lease<GoogleCredentials>;

const METADATA_TIMEOUT_MS = 1_000;
const METADATA_PATH = '/computeMetadata/v1/instance/service-accounts/default/token';

/**
 * The file that the cloud credential file names for the URI, else `GOOGLE_APPLICATION_CREDENTIALS`, an HMAC key, what
 * `gcloud auth application-default login` has written, the metadata server of Google's machines; else nobody's.
 * @throws SourceError SOURCE_CREDENTIALS for what cannot be used; what is worth another try
 */
export async function googleCredentials(
  uri: ModelUri,
  variables: Variables,
  ask: AskServer,
): Promise<GoogleLease> {
  const file = await namedFile(uri, variables);
  if (file !== null) return await byFile(file.path, file.origin, ask);
  const key = hmacKey(variables);
  if (key !== null) {
    return { value: { token: null, key, origin: 'GS_ACCESS_KEY_ID of the environment' }, endsAtMs: null };
  }
  const folder = variables['CLOUDSDK_CONFIG'] || join(variables['HOME'] || homedir(), '.config', 'gcloud');
  const own = join(folder, 'application_default_credentials.json');
  if ((await readIfThere(own)) !== null) return await byFile(own, own, ask);
  return await byMetadata(variables, ask);
}

/** The file that somebody has named. */
async function namedFile(
  uri: ModelUri,
  variables: Variables,
): Promise<{ readonly path: string; readonly origin: string } | null> {
  const entry = await cloudEntry(uri, variables);
  if (typeof entry?.value === 'string' && entry.value !== '') {
    return { path: entry.value, origin: `${entry.origin} → ${entry.value}` };
  }
  const path = variables['GOOGLE_APPLICATION_CREDENTIALS'] || null;
  return path === null ? null : { path, origin: `GOOGLE_APPLICATION_CREDENTIALS (${path})` };
}

/** Who signs addresses. @throws SourceError when the credentials are not those of a service account */
export async function googleSigner(
  uri: ModelUri,
  variables: Variables,
  place: string,
): Promise<GoogleSigner> {
  const file = await namedFile(uri, variables);
  const signer = file === null ? null : await fileSigner(file.path, file.origin);
  if (signer !== null) return signer;
  throw new SourceError(
    `${place}: addresses are signed with the key of a service account: name its file in GOOGLE_APPLICATION_CREDENTIALS`,
    { code: 'SOURCE_CREDENTIALS' },
  );
}

async function byFile(path: string, origin: string, ask: AskServer): Promise<GoogleLease> {
  const { value: token, endsAtMs } = await fileToken(path, origin, ask);
  return { value: { token, key: null, origin }, endsAtMs };
}

function hmacKey(variables: Variables): AccessKey | null {
  const [id, secret] = [variables['GS_ACCESS_KEY_ID'], variables['GS_SECRET_ACCESS_KEY']];
  if (!id && !secret) return null;
  if (id && secret) return { id, secret, sessionToken: null };
  throw new SourceError(
    'GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY: one is set and the other is not; give both or none',
    { code: 'SOURCE_CREDENTIALS' },
  );
}

/** Emulators want no token; elsewhere a machine that is none of Google's has no such server. */
async function byMetadata(variables: Variables, ask: AskServer): Promise<GoogleLease> {
  const nobody: GoogleLease = { value: { token: null, key: null, origin: null }, endsAtMs: null };
  const host = variables['GCE_METADATA_HOST'] || null;
  if (variables['NO_GCE_CHECK'] === 'true') return nobody;
  if (host === null && variables['STORAGE_EMULATOR_HOST']) return nobody;
  const told = await ask({
    ...{ url: `http://${host ?? '169.254.169.254'}${METADATA_PATH}`, method: 'GET', isDirect: true },
    ...{ headers: { 'metadata-flavor': 'Google' }, timeoutMs: METADATA_TIMEOUT_MS },
  }).catch(() => null);
  if (told === null) return nobody;
  const answer = readToken(told);
  if (!answer.ok) return nobody; // other clouds have a server of another kind there
  const { value: token, endsAtMs } = answer.lease;
  return { value: { token, key: null, origin: "the machine's service account" }, endsAtMs };
}

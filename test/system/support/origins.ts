import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { signOss } from '../../../src/models/sources/sign-oss.ts';
import { openStore } from '../../models/sources/fake-store.ts';
import { isGranted } from '../../models/sources/google-server.ts';
import { AzureServer } from './azure-server.ts';
import type { FrontIdentity } from './fault-front.ts';
import { NginxServer } from './nginx-server.ts';
import { S3Server } from './s3-server.ts';

type Variables = Record<string, string>;

/** A server of one scheme, as the contract that all keep wants it. */
export interface Origin {
  readonly url: string;
  /** the URI of a key (or of a folder), at another address than the server's own */
  uri(front: string, key: string): string;
  /** those with which all may be read; files are made in the folder given */
  variables(folder: string, front: string): Variables;
  /** wrong in one way or another, and what is said then */
  readonly wrong: (folder: string, front: string) => readonly (readonly [Variables, RegExp])[];
  /** makes what the server took so far worthless, so that a request is refused whose sender could know better; null: cannot be */
  readonly rotate: ((folder: string) => { readonly stale: Variables; readonly renew: () => void }) | null;
  readonly canList: boolean;
  /** what a front answers for https with; not given: http */
  readonly identity?: FrontIdentity;
  put(key: string, content: Buffer): Promise<void> | void;
  kill(): Promise<void>;
  revive(): Promise<void>;
  stop(): Promise<void>;
}

export async function nginxOrigin(): Promise<Origin> {
  return webOrigin(await NginxServer.start());
}

function webOrigin(server: NginxServer): Origin {
  return {
    url: server.url,
    uri: (front, key) => `${front}/${key.split('/').map(encodeURIComponent).join('/')}`,
    variables: () => ({}),
    wrong: () => [],
    rotate: null,
    canList: false,
    put: (key, content) => server.put(key, content),
    kill: async () => await server.process.kill(),
    revive: async () => await server.process.start(),
    stop: async () => await server.stop(),
  };
}

/** The same behind https, with a certificate that is known to whoever is told. */
export async function secureOrigin(): Promise<Origin> {
  const server = await NginxServer.start();
  return {
    ...webOrigin(server),
    identity: { key: readFileSync(server.key, 'utf8'), cert: readFileSync(server.certificate, 'utf8') },
    variables: () => ({ SSL_CERT_FILE: server.certificate }),
    wrong: () => [
      [
        {},
        /m\/weights\.bin: its certificate is signed by somebody who is not known here \(self-signed certificate\); name a file .* as SSL_CERT_FILE in the environment$/,
      ],
    ],
  };
}

export async function s3Origin(installed: string): Promise<Origin> {
  const server = await S3Server.start(installed, 'bkt');
  const key = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' };
  const file = (folder: string, secret: string): Variables => {
    const path = join(folder, 'aws');
    writeFileSync(path, `[default]\naws_access_key_id = S3RVER\naws_secret_access_key = ${secret}\n`);
    return { AWS_SHARED_CREDENTIALS_FILE: path };
  };
  return {
    url: server.url,
    uri: (front, name) => `s3://${front}/bkt/${name}`,
    variables: () => key,
    wrong: (folder) => [
      [{ ...key, AWS_SECRET_ACCESS_KEY: 'x' }, /403 SignatureDoesNotMatch: .*; asked with AWS_ACCESS_KEY_ID/],
      [{ ...key, AWS_ACCESS_KEY_ID: 'x' }, /403 InvalidAccessKeyId: .*; asked with AWS_ACCESS_KEY_ID/],
      [file(folder, 'x'), /403 SignatureDoesNotMatch: .*; asked with profile default in ~\/\.aws/],
    ],
    rotate: (folder) => ({ stale: file(folder, 'old'), renew: () => void file(folder, 'S3RVER') }),
    canList: true,
    put: async (name, content) => await server.put(`bkt/${name}`, content),
    kill: async () => await server.process.kill(),
    revive: async () => await server.process.start(),
    stop: async () => await server.stop(),
  };
}

export async function azureOrigin(installed: string): Promise<Origin> {
  const server = await AzureServer.start(installed, 'bkt');
  const wrongKey = randomBytes(64).toString('base64');
  const file = (folder: string, accountKey: string): Variables => {
    const path = join(folder, 'cloud_credential.json');
    const entry = { account_str: '', account_key: accountKey };
    writeFileSync(path, JSON.stringify({ as: { '': { account_key: wrongKey }, 'as://http://127': entry } }));
    return { TRITON_CLOUD_CREDENTIAL_PATH: path };
  };
  return {
    url: server.url,
    uri: (front, name) => `as://${front}/${server.account}/bkt/${name}`,
    variables: () => ({ AZURE_STORAGE_KEY: server.key }),
    wrong: (folder) => [
      [
        { AZURE_STORAGE_KEY: wrongKey },
        /403 AuthorizationFailure: .*; asked with AZURE_STORAGE_KEY of the env/,
      ],
      [{}, /answers 40\d .*; no credentials were found: set AZURE_STORAGE_KEY/],
      [file(folder, wrongKey), /403 Auth.*; asked with TRITON_CLOUD_CREDENTIAL_PATH \(.*, as "as:\/\/http:/],
      [
        { AZURE_STORAGE_SAS_TOKEN: server.accessSignature('bkt', Date.now() - 60_000) },
        /403 AuthorizationFailure: .*; asked with a shared access signature, which may have run out/,
      ],
    ],
    rotate: (folder) => ({ stale: file(folder, wrongKey), renew: () => void file(folder, server.key) }),
    canList: true,
    put: async (name, content) => await server.put(`bkt/${name}`, content),
    // Azurite writes down every few seconds only what it has stored; asked to end, it breaks connections as well.
    kill: async () => await server.process.kill('SIGTERM'),
    revive: async () => await server.process.start(),
    stop: async () => await server.stop(),
  };
}

/** A store that takes the tokens which a token server gives to a service account that it knows. */
export async function googleOrigin(): Promise<Origin> {
  const objects = new Map<string, Buffer>();
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const email = 'reader@project.iam.gserviceaccount.com';
  let token = 1;
  let asked = 0;
  const beside = (request: IncomingMessage, response: ServerResponse): boolean => {
    if (request.url !== '/token') return false;
    void isGranted(request, { publicKey, email }).then((isRight) => {
      asked = token;
      const answer = isRight
        ? { access_token: `token-${token}`, expires_in: 3_600 }
        : { error: 'invalid_grant' };
      response.writeHead(isRight ? 200 : 400).end(JSON.stringify(answer));
    });
    return true;
  };
  const isAllowed = (request: IncomingMessage) => request.headers.authorization === `Bearer token-${token}`;
  const open = async () => await openStore({ objects, isAllowed, beside, next: 'continuation-token' });
  const store = await open();
  const file = (folder: string, front: string, key = privateKey): Variables => {
    const path = join(folder, 'account.json');
    const pem = key.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(
      path,
      JSON.stringify({ client_email: email, private_key: pem, token_uri: `${front}/token` }),
    );
    return { GOOGLE_APPLICATION_CREDENTIALS: path };
  };
  return {
    url: `http://${store.host}`,
    uri: (front, name) => `gs://${front}/bkt/${name}`,
    variables: file,
    wrong: (folder, front) => [
      [
        file(folder, front, generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
        /GOOGLE_APPLICATION_CREDENTIALS \(.*\): expected credentials that Google takes, found .* invalid_grant/,
      ],
      [{ NO_GCE_CHECK: 'true', HOME: folder }, /answers 403 .*; no credentials were found: set GOOGLE_APPL/],
    ],
    rotate: (folder) => ({
      stale: file(folder, `http://${store.host}`),
      renew: () => {
        token = asked + 1;
      },
    }),
    canList: true,
    put: (name, content) => void objects.set(name, content),
    ...{ kill: store.pause, revive: store.resume, stop: store.stop },
  };
}

/** A store that takes what is signed as `signOss` signs, which another test holds to the official SDK. */
export async function ossOrigin(): Promise<Origin> {
  const region = 'cn-beijing';
  const objects = new Map<string, Buffer>();
  const key = { id: 'an-id', secret: 'a-secret', sessionToken: null };
  const isAllowed = (request: IncomingMessage, name: string): boolean => {
    const url = new URL(request.url ?? '', 'http://x');
    const stamp = String(request.headers['x-oss-date'] ?? '');
    const iso = stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
    const nowMs = Date.parse(iso || (request.headers.date ?? ''));
    if (Number.isNaN(nowMs)) return false;
    const plain = { origin: 'http://x', path: '/', query: [...url.searchParams], headers: {} };
    const headers = signOss(plain, { key, region, resource: `/bkt/${name}`, nowMs });
    return request.headers.authorization === headers['authorization'];
  };
  const store = await openStore({ objects, isAllowed, next: 'marker' });
  const variables: Variables = {
    ...{ OSS_ACCESS_KEY_ID: key.id, OSS_ACCESS_KEY_SECRET: key.secret, OSS_REGION: region },
  };
  return {
    url: `http://${store.host}`,
    uri: (front, name) => `oss://${front}/bkt/${name}`,
    variables: () => variables,
    wrong: () => [
      [
        { ...variables, OSS_ACCESS_KEY_SECRET: 'x' },
        /403 SignatureDoesNotMatch: no; asked with OSS_ACCESS_KEY_ID/,
      ],
      [{}, /403 .*; no credentials were found: set OSS_ACCESS_KEY_ID/],
    ],
    rotate: null,
    canList: true,
    put: (name, content) => void objects.set(name, content),
    ...{ kill: store.pause, revive: store.resume, stop: store.stop },
  };
}

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tempDir } from '../../support/temp-dir.ts';
import { expected, obtain, startStore } from './fake-store.ts';
import { isGranted } from './google-server.ts';

const PEM = { type: 'pkcs8', format: 'pem' } as const;
const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const EMAIL = 'reader@project.iam.gserviceaccount.com';

async function start(failures = 0) {
  let asked = 0;
  const beside = (request: IncomingMessage, response: ServerResponse): boolean => {
    if (request.url !== '/token') return false;
    asked += 1;
    const answer = async () => {
      if (asked <= failures) return void response.writeHead(503).end();
      const isRight = await isGranted(request, { publicKey, email: EMAIL });
      const refusal = { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' };
      response.writeHead(isRight ? 200 : 400);
      response.end(JSON.stringify(isRight ? { access_token: 'granted', expires_in: 3_600 } : refusal));
    };
    void answer();
    return true;
  };
  const isAllowed = (request: IncomingMessage) => request.headers.authorization === 'Bearer granted';
  const host = await startStore({ isAllowed, beside, next: 'continuation-token' });
  const file = join(tempDir(), 'credentials.json');
  const variables = { STORAGE_EMULATOR_HOST: host, GOOGLE_APPLICATION_CREDENTIALS: file };
  const write = (credentials: object) =>
    writeFileSync(file, JSON.stringify({ token_uri: `http://${host}/token`, ...credentials }));
  return { variables, write, host, asked: () => asked };
}

const account = (key = privateKey) => ({
  ...{ type: 'service_account', client_email: EMAIL },
  private_key: key.export(PEM),
});

describe('a folder in Google Cloud Storage', () => {
  it('comes page by page, with one token that the service account signed for', async () => {
    const { variables, write, asked } = await start(1);
    write(account());
    expect(await obtain('gs://bkt/dir', variables)).toEqual(expected);
    expect(asked()).toBe(2);
  });

  it('comes to a user who has logged in', async () => {
    const { variables, write } = await start();
    write({ type: 'authorized_user', client_id: 'c', client_secret: 's', refresh_token: 'refresh' });
    expect(await obtain('gs://bkt/dir/', variables)).toEqual(expected);
  });

  it('says whose credentials are refused, and never what they are', async () => {
    const { variables, write, host } = await start();
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    write(account(other));
    await expect(obtain('gs://bkt/dir/', variables)).rejects.toThrow(
      /GOOGLE_APPLICATION_CREDENTIALS \(.*\): .* found an answer of 400 invalid_grant Invalid JWT Signature\.$/,
    );
    write({ ...account(), private_key: 'secret' });
    await expect(obtain('gs://bkt/dir/', variables)).rejects.toThrow(
      /expected a private key in PEM, found something else$/,
    );
    write({});
    await expect(obtain('gs://bkt/dir/', variables)).rejects.toThrow(/found neither/);
    await expect(obtain('gs://bkt/dir/', { STORAGE_EMULATOR_HOST: host })).rejects.toThrow(
      /answers 403 .*; no credentials were found: set GOOGLE_APPLICATION_CREDENTIALS/,
    );
  });
});

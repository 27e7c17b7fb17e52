import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clusterKeys } from '../../src/config/token.ts';
import { redact, redactDocument } from '../../src/lib/redact.ts';

const SECRET = 'zQ7-very-secret-9Xw2';

describe('redact', () => {
  it.each([
    ['the token', `token in use: mst_${SECRET}`],
    ['a derived key', `authorization: Bearer msa_${SECRET}`],
    ['a password of a store', `store = redis://user:${SECRET}@10.0.0.1:6379/0`],
    ['a password without a user', `REDIS=redis://:${SECRET}@host`],
    [
      'a signed query',
      `GET https://host/model.bin?X-Amz-Credential=${SECRET}&X-Amz-Signature=${SECRET}&part=1`,
    ],
    ['a SAS', `as://account/container/m?sv=1&sig=${SECRET}`],
    ['a setting', `aws_secret_access_key = ${SECRET}`],
    ['a setting of conf.ini', `api_keys = team:${SECRET}`],
    ['a value in JSON', `{"password":"${SECRET}","port":1}`],
    ['a basic header', `proxy said: Basic ${SECRET}`],
    ['a private key', `-----BEGIN RSA PRIVATE KEY-----\n${SECRET}\n-----END RSA PRIVATE KEY-----`],
    ['half a private key', `-----BEGIN PRIVATE KEY-----\n${SECRET}`],
  ])('hides %s', (_what, text) => {
    expect(redact(text)).not.toContain(SECRET);
    expect(redact(text)).toContain('[hidden]');
  });

  it.each([
    'replica Echo-1a2b3: ValueError: no weights',
    '[algopkg.Echo]\nbackend = EchoBackend\nroute = echo\nreplicas = 2',
    'GET https://host/model.bin?part=1 answered 404',
    '{"level":30,"component":"agent","msg":"replica ready","pid":12}',
  ])('leaves what is none: %s', (text) => {
    expect(redact(text)).toBe(text);
  });

  it('takes out every kind of key there is', () => {
    const keys = Object.values(clusterKeys('mst_0123456789abcdef')).filter((key) => key.startsWith('ms'));
    expect(keys.length).toBeGreaterThan(5);
    for (const key of [...keys, 'mst_0123456789abcdef']) expect(redact(`a ${key} b`)).toBe('a [hidden] b');
  });

  it('is done with a long line of a backend’s', () => {
    const line = 'a.'.repeat(500_000); // every word might begin an address
    expect(redact(line)).toBe(line);
  });

  it('is done once: what it made stays as it is', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(redact(redact(text))).toBe(redact(text));
      }),
    );
  });
});

describe('redactDocument', () => {
  it.each([
    ['lines in a text of a document', JSON.stringify({ conf: `[a]\nstore_password = ${SECRET}\nport = 1` })],
    ['a named value, however deep', JSON.stringify({ list: [{ env: { API_TOKEN: SECRET } }] })],
    ['lines of documents', `{"level":30,"msg":"x"}\n{"msg":"set\\nsecret = ${SECRET}"}\nno JSON`],
    ['a line that is cut', `"secret":"${SECRET}","x":1}\n{"a":1}`],
  ])('hides %s', (_what, text) => {
    expect(redactDocument(text)).not.toContain(SECRET);
    expect(redactDocument(text)).toContain('[hidden]');
  });
});

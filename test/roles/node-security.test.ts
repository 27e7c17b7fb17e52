import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { silentLog } from '../../src/lib/log.ts';
import { readTlsFiles } from '../../src/lib/tls/pem-files.ts';
import { NodeCertificate } from '../../src/roles/node-certificate.ts';
import { scopeFor } from '../../src/roles/node-security.ts';
import { tempDir } from '../support/temp-dir.ts';

it.each([
  ['127.0.0.1', null, false, 'off'],
  ['10.0.0.1', null, false, 'nodes'],
  ['0.0.0.0', null, false, 'nodes'],
  ['10.0.0.1', 'off', false, 'off'],
  ['127.0.0.1', 'all', false, 'all'],
  ['127.0.0.1', null, true, 'all'],
] as const)(
  'a node on %s with --tls %s and a certificate: %s encrypts %s',
  (host, scope, isGiven, expected) => {
    const given = isGiven ? { certFile: 'cert', keyFile: 'key' } : null;
    expect(scopeFor({ scope, given }, host)).toBe(expected);
  },
);

it('a node signs itself a certificate, keeps it, and renews it when it must', async () => {
  const folder = join(tempDir(), 'tls');
  const options = { folder, nodeId: 'n-1', clusterId: 'abc', names: ['front.example'] };
  const certificate = new NodeCertificate({ ...options, secrets: () => ['one'] }, silentLog);
  const { certFile, keyFile, caFile } = certificate.files;
  const nowMs = Date.now();
  await certificate.renew(nowMs);
  const first = readFileSync(certFile, 'utf8');
  const trusted = readFileSync(caFile, 'utf8');
  const leaf = new X509Certificate(first);
  expect(leaf.subject).toBe('CN=modelserve node n-1');
  for (const name of ['localhost', hostname(), 'front.example']) expect(leaf.checkHost(name)).toBe(name);
  expect(leaf.checkIP('127.0.0.1')).toBe('127.0.0.1');
  expect(statSync(keyFile).mode & 0o777).toBe(0o600);
  await expect(readTlsFiles(certificate.files, nowMs)).resolves.toMatchObject({ cert: first });

  await certificate.renew(nowMs);
  expect(readFileSync(certFile, 'utf8')).toBe(first);
  expect(readFileSync(caFile, 'utf8')).toBe(trusted);

  writeFileSync(keyFile, ''); // as a start leaves it that was cut off
  await certificate.renew(nowMs);
  const second = readFileSync(certFile, 'utf8');
  expect(second).not.toBe(first);

  await new NodeCertificate({ ...options, secrets: () => ['two', 'one'] }, silentLog).renew(nowMs);
  const both = readFileSync(caFile, 'utf8').match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
  const signers = both.map((pem) => new X509Certificate(pem));
  expect(signers).toHaveLength(2);
  expect(new X509Certificate(second).verify(signers[1]?.publicKey ?? leaf.publicKey)).toBe(true);
  const third = new X509Certificate(readFileSync(certFile, 'utf8'));
  expect(third.verify(signers[0]?.publicKey ?? leaf.publicKey)).toBe(true);
});

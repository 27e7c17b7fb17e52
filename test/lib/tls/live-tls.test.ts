import { renameSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type PeerCertificate, TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import type { PemPair } from '../../../src/lib/tls/authority.ts';
import { LiveTls } from '../../../src/lib/tls/live-tls.ts';
import { answerPlainClients } from '../../../src/lib/tls/plain-client.ts';
import { authorityOf, issue, putFiles } from '../../support/certificates.ts';
import { tempDir } from '../../support/temp-dir.ts';

const DAY_MS = 24 * 3_600_000;
const OURS = 'mst_ours';
const THEIRS = 'mst_theirs';
const [ours, theirs] = (await Promise.all([OURS, THEIRS].map(authorityOf))).map(
  ({ certificate }) => certificate,
);

function days(from: number, to: number): { readonly fromMs: number; readonly toMs: number } {
  return { fromMs: Date.now() + from * DAY_MS, toMs: Date.now() + to * DAY_MS };
}

/** Answers with the name that its client has proved, by HTTPS. */
async function serve(live: LiveTls): Promise<number> {
  const server = createServer(live.serverOptions, ({ socket }, response) => {
    const peer = socket instanceof TLSSocket ? socket.getPeerCertificate() : null;
    response.end(`hello ${peer?.subject?.CN ?? 'nobody'}`);
  });
  answerPlainClients(server, 'HTTP/1.1 400 Bad Request\r\n\r\nthis port speaks TLS');
  live.attach(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

interface Answer {
  readonly text: string;
  readonly server: PeerCertificate;
}

/** @throws the connection's error */
async function ask(port: number, shown: Partial<PemPair> = {}, ca = ours): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, ca, ...shown, agent: false }, (answer) => {
      const server = answer.socket instanceof TLSSocket ? answer.socket.getPeerCertificate() : undefined;
      if (server === undefined) return reject(new Error('no TLS'));
      text(answer).then((said) => resolve({ text: said, server }), reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('a certificate in files', () => {
  it('is served, and replaced in place; what cannot be used leaves the last one', async () => {
    const folder = tempDir();
    const live = await LiveTls.open(putFiles(folder, await issue(OURS, 'first')));
    const port = await serve(live);
    expect((await ask(port)).server.subject.CN).toBe('first');
    putFiles(folder, await issue(OURS, 'second'));
    await live.refresh(silentLog);
    expect((await ask(port)).server.subject.CN).toBe('second');
    const told: unknown[] = [];
    const log = { ...silentLog, warn: (fields: object) => told.push(fields) };
    writeFileSync(join(folder, 'key.pem'), (await issue(OURS, 'third')).key);
    await live.refresh(log);
    expect(told, 'the other file may come yet').toEqual([]);
    await live.refresh(log);
    await live.refresh(log);
    expect(told).toEqual([{ problem: expect.stringContaining('is not that of the certificate') }]);
    expect((await ask(port)).server.subject.CN).toBe('second');
  });

  it('is told of from two weeks before its end on, once a day', async () => {
    const folder = tempDir();
    const live = await LiveTls.open(putFiles(folder, await issue(OURS, 'short', days(-1, 13))));
    const told: unknown[] = [];
    const log = { ...silentLog, warn: (fields: object) => told.push(fields) };
    await live.refresh(log);
    await live.refresh(log);
    const words = /^the certificate in .*cert\.pem \(localhost, 127\.0\.0\.1\) ends on .* GMT: put a new one/;
    expect(told).toEqual([{ problem: expect.stringMatching(words) }]);
    expect(live.endNote(Date.now() + 14 * DAY_MS)).toContain(' ended on ');
    putFiles(folder, await issue(OURS, 'long', days(-1, 15)));
    await live.refresh(log);
    expect(live.endNote(Date.now())).toBeNull();
  });

  it('asks the other end for one of an authority, where one is given', async () => {
    const folder = tempDir();
    const live = await LiveTls.open(putFiles(folder, await issue(OURS, 'node a'), ours));
    const port = await serve(live);
    expect((await ask(port, await issue(OURS, 'node b'))).text).toBe('hello node b');
    await expect(ask(port)).rejects.toThrow(/alert|ECONNRESET|socket hang up/i);
    await expect(ask(port, await issue(THEIRS, 'node c'))).rejects.toThrow(
      /alert|ECONNRESET|socket hang up/i,
    );
    await expect(ask(port, await issue(OURS, 'node b'), theirs)).rejects.toThrow(/verify|self/);
    // while a token is changed, both are there
    putFiles(folder, await issue(OURS, 'node a'), `${ours}\n${theirs}`);
    await live.refresh(silentLog);
    expect((await ask(port, await issue(THEIRS, 'node c'))).text).toBe('hello node c');
  });

  it('tells a client that does not speak TLS', async () => {
    const port = await serve(await LiveTls.open(putFiles(tempDir(), await issue(OURS, 'a'))));
    const socket = connect({ host: '127.0.0.1', port });
    socket.write('GET / HTTP/1.1\r\n\r\n');
    expect(await text(socket)).toContain('this port speaks TLS');
  });

  it.each([
    ['ended', async () => await issue(OURS, 'old', days(-3, -2)), 'ended on'],
    ['not good yet', async () => await issue(OURS, 'new', days(2, 3)), 'clock'],
    [
      'with the key of another',
      async () => ({ ...(await issue(OURS, 'a')), key: (await issue(OURS, 'b')).key }),
      'not that of the certificate',
    ],
    [
      'in the wrong file',
      async () => ({ ...(await issue(OURS, 'a')), cert: (await issue(OURS, 'a')).key }),
      'found PRIVATE KEY',
    ],
    ['no PEM', async () => ({ ...(await issue(OURS, 'a')), key: 'secret' }), 'expected PEM'],
    ['empty', async () => ({ ...(await issue(OURS, 'a')), cert: '' }), 'it is empty'],
    [
      'with a passphrase',
      async () => ({
        ...(await issue(OURS, 'a')),
        key: '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n',
      }),
      'it has a passphrase',
    ],
  ])('is refused at the start when it is %s', async (_name, pair, words) => {
    const files = putFiles(tempDir(), await pair());
    await expect(LiveTls.open(files)).rejects.toMatchObject({
      data: { code: 'TLS_FILE' },
      message: expect.stringContaining(words),
    });
  });

  it('is refused when it is not there', async () => {
    const folder = tempDir();
    const files = putFiles(folder, await issue(OURS, 'a'));
    renameSync(files.keyFile, join(folder, 'elsewhere'));
    await expect(LiveTls.open(files)).rejects.toThrow(`the key in ${files.keyFile} cannot be read (ENOENT)`);
  });
});

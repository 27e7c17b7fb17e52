import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { noConversation } from '../../../src/models/sources/no-conversation.ts';
import { startWebServer } from '../web-server.ts';
import { obtain } from './fake-store.ts';

it('says that a server speaks no TLS', async () => {
  const web = await startWebServer();
  await expect(obtain(`${web.url.replace('http:', 'https:')}/m.bin`, {})).rejects.toThrow(
    /m\.bin: it does not answer as https servers do \([\w ]+\); is it an http server\?$/,
  );
});

it('says that a server speaks no HTTP', async () => {
  const server = createServer((socket) => void socket.on('error', () => undefined).end('SSH-2.0-x\r\n\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  await expect(obtain(`http://127.0.0.1:${port}/m.bin`, {})).rejects.toThrow(
    /m\.bin: it does not answer as http servers do \(.*\); is it an https server\?$/,
  );
});

it.each([
  ['CERT_HAS_EXPIRED', 'certificate has expired', 'its certificate does not hold (certificate has expired)'],
  ['ECONNRESET', 'read ECONNRESET', null],
  ['ENOSPC', 'no space left', null],
])('of %s (%s) it says %s', (code, message, said) => {
  expect(noConversation(Object.assign(new Error(message), { code }), 'a variable')).toBe(said);
});

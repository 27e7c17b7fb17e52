import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { freePort, programOnPort } from '../../src/lib/ports.ts';

test.each(['127.0.0.1', '::1'])('names the program that listens on a port of %s', async (host) => {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  try {
    const holder = programOnPort(address.port);
    expect(holder?.pid).toBe(process.pid);
    expect(holder?.name).not.toBe('');
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
  expect(programOnPort(address.port)).toBeNull();
});

test('a free port can be bound', async () => {
  const port = await freePort('127.0.0.1');
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  await new Promise((resolve) => server.close(resolve));
});

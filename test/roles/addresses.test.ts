import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isLoopback } from '../../src/lib/loopback.ts';
import { freePort } from '../../src/lib/ports.ts';
import {
  advertisedAddress,
  formatHostPort,
  localAddressTowards,
  parseHostPort,
} from '../../src/roles/addresses.ts';

describe('HOST:PORT', () => {
  it.each([
    ['head:6370', 'head', 6370],
    ['10.0.0.1:1', '10.0.0.1', 1],
    ['[::1]:8265', '::1', 8265],
    ['[fe80::1%eth0]:65535', 'fe80::1%eth0', 65_535],
  ])('%s is read, and written again', (text, host, port) => {
    expect(parseHostPort(text, '--address')).toEqual({ host, port });
    expect(formatHostPort({ host, port })).toBe(text);
  });

  it.each(['head', 'head:', ':6370', 'head:0', 'head:65536', 'head:six', 'http://head:6370', ''])(
    '%j is refused with the option named',
    (text) => {
      expect(() => parseHostPort(text, '--address')).toThrow(/--address expects HOST:PORT/);
    },
  );
});

it.each([
  ['localhost', true],
  ['127.0.0.1', true],
  ['127.1.2.3', true],
  ['::1', true],
  ['0.0.0.0', false],
  ['10.0.0.1', false],
  ['::', false],
])('%s is reached from this machine only: %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});

it('advertises a given address as it is, and none that nobody can reach', () => {
  expect(advertisedAddress('10.1.2.3')).toBe('10.1.2.3');
  for (const every of ['0.0.0.0', '::']) {
    const address = advertisedAddress(every);
    expect(address).not.toBe(every);
    expect(address.startsWith('fe80:')).toBe(false);
  }
});

describe('the route to a head', () => {
  it('tells the address of this end of it', async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    expect(await localAddressTowards({ host: '127.0.0.1', port }, 5_000)).toBe('127.0.0.1');
  });

  it('that leads nowhere is named', async () => {
    const port = await freePort('127.0.0.1');
    await expect(localAddressTowards({ host: '127.0.0.1', port }, 5_000)).rejects.toMatchObject({
      code: 'CLUSTER_UNREACHABLE',
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
  });
});

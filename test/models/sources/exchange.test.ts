import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { Exchange } from '../../../src/models/sources/exchange.ts';

const { signal } = new AbortController();

/** A server that has a port, and is there or not. */
async function serverAt(
  port = 0,
): Promise<{ readonly port: number; readonly close: () => Promise<unknown> }> {
  const server: Server = createServer((_request, response) => void response.end('here'));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = async (): Promise<unknown> => {
    server.closeAllConnections();
    return await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(async () => void (await close()));
  return { port: (server.address() as AddressInfo).port, close };
}

function asking(port: number) {
  const exchange = new Exchange({}, { attempts: 4, backoffMs: 2, silenceMs: 1_000 });
  onTestFinished(async () => await exchange.close());
  let tries = 0;
  const ask = async (onTry: (nth: number) => Promise<unknown> = async () => undefined): Promise<string> => {
    tries = 0;
    const make = async () => {
      tries += 1;
      await onTry(tries);
      return { origin: `http://127.0.0.1:${port}`, path: '/', query: [], headers: {} };
    };
    return await exchange.get('the server', make, async ({ body }) => await body.text(), signal);
  };
  return { ask, tries: () => tries };
}

it('soon gives up who is not there at all', async () => {
  const { port, close } = await serverAt();
  await close();
  const { ask, tries } = asking(port);
  await expect(ask()).rejects.toThrow(/the server: .*ECONNREFUSED.*, 2 times in a row$/);
  expect(tries()).toBe(2);
});

it('is patient with who was there a while ago', async () => {
  const first = await serverAt();
  const { ask, tries } = asking(first.port);
  expect(await ask()).toBe('here');
  await first.close();
  await expect(ask()).rejects.toThrow(/ECONNREFUSED.*, 4 times in a row$/);
  expect(await ask(async (nth) => nth === 4 && (await serverAt(first.port)))).toBe('here');
  expect(tries()).toBe(4);
});

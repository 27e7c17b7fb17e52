import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { Connections } from '../../src/ingress/connections.ts';

it('takes no more connections than there is room for, and the next when one has left', async () => {
  const connections = new Connections(() => createHttpServer((_, response) => response.end('here')), 2);
  const server = createServer({ pauseOnConnect: true }, (socket) => connections.take(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.close();
    await connections.close();
  });
  const { port } = server.address() as AddressInfo;
  const come = () => {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    onTestFinished(() => void socket.destroy());
    return socket.resume();
  };
  const [first] = [come(), come()];
  await expect.poll(() => connections.count).toBe(2);
  await once(come(), 'close');
  expect(connections.count).toBe(2);
  first?.destroy();
  await expect.poll(() => connections.count).toBe(1);
  const next = come();
  next.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(next, 'data');
});

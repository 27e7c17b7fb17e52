import { once } from 'node:events';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createHttpsServer } from '../../../src/lib/tls/https-server.ts';
import type { LiveTls } from '../../../src/lib/tls/live-tls.ts';
import { createTlsServer, Strangers } from '../../../src/lib/tls/tls-server.ts';
import { authorityOf, issue, nodeTls } from '../../support/certificates.ts';
import { tempDir } from '../../support/temp-dir.ts';

const SECRET = 'mst_ours';
const SOON = { handshakeTimeout: 100 };
/** The beginning of a ClientHello whose rest never comes. */
const BEGUN = Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]);

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** A client that says these bytes and nothing more. */
async function stranger(port: number, bytes = BEGUN): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  socket.resume().write(bytes);
  return socket;
}

/** As node:http's, and as a server does that has an answer to what is no HTTP. */
function httpsServer(tls: LiveTls): Server {
  const server = createHttpsServer(tls, (_request, response) => response.end(), { settings: SOON });
  return server.on('clientError', (_error, socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
}

describe.each([
  ['frames', (tls: LiveTls) => createTlsServer(tls, () => {}, SOON)],
  ['HTTP', httpsServer],
] as const)('a server of %s by TLS', (_name, make) => {
  it.each([
    ['begins to shake hands and says no more', BEGUN],
    ['says what is no handshake', Buffer.from('\x16no handshake at all')],
  ])('cuts who %s', async (_what, bytes) => {
    const port = await listen(make(await nodeTls(tempDir(), SECRET)));
    const socket = await stranger(port, bytes);
    await once(socket, 'close');
  });
});

describe('strangers', () => {
  it('keep nobody out, however many they are: the oldest go', async () => {
    const tls = await nodeTls(tempDir(), SECRET);
    const server = createTlsServer(tls, (socket) => socket.end('welcome'));
    const strangers = new Strangers(server, 3);
    const port = await listen(server);
    const silent: Socket[] = [];
    for (let count = 0; count < 3; count += 1) silent.push(await stranger(port));
    const first = once(silent[0] as Socket, 'close');
    const friend = connectTls({
      ...{ host: '127.0.0.1', port, rejectUnauthorized: true },
      ...(await issue(SECRET, 'friend')),
      ca: (await authorityOf(SECRET)).certificate,
    });
    await once(friend, 'data');
    await first;
    expect(silent.filter(({ destroyed }) => destroyed)).toHaveLength(1);
    const rest = silent.slice(1).map((socket) => once(socket, 'close'));
    strangers.cut();
    await Promise.all(rest);
  });
});

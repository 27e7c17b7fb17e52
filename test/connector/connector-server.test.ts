import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConnectorServer } from '../../src/connector/connector-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startOss } from './oss-double.ts';

interface Client {
  ask(request: object): Promise<unknown>;
  /** once the server has ended the connection */
  readonly closed: Promise<void>;
  write(line: string): void;
  end(): void;
}

async function startServer(
  firstClientMs: number,
): Promise<{ connect(): Promise<Client>; idle: Promise<void> }> {
  const socketPath = join(tempDir(), 's');
  let tell: () => void = () => undefined;
  const idle = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const server = new ConnectorServer({ socketPath, firstClientMs, onIdle: () => tell() });
  onTestFinished(async () => await server.stop());
  await server.start();
  return { idle, connect: async () => await connectTo(socketPath) };
}

async function connectTo(path: string): Promise<Client> {
  const socket = connect(path);
  onTestFinished(() => void socket.destroy());
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  const ask = async (request: object): Promise<unknown> => {
    socket.write(`${JSON.stringify(request)}\n`);
    return JSON.parse(String((await lines.next()).value));
  };
  const write = (line: string): void => void socket.write(`${line}\n`);
  return { ask, closed, write, end: () => void socket.destroy() };
}

async function hello(about: object = {}): Promise<object> {
  const { endpoint } = await startOss();
  const folder = tempDir();
  const configPath = join(folder, 'config.json');
  const paths = { logPath: join(folder, 'log'), auditPath: join(folder, 'audit') };
  writeFileSync(configPath, JSON.stringify({ ...paths, prefetch: { directory: folder } }));
  const session = { session: 's', endpoint, region: '', configPath, credPath: '/nowhere' };
  return { id: 1, op: 'hello', protocol: 1, ...session, ...about };
}

describe('ConnectorServer', () => {
  it('goes on beyond the time for its first client when there is one, and is idle when the last has gone', async () => {
    const served = await startServer(30);
    const client = await served.connect();
    expect(await client.ask(await hello())).toMatchObject({ result: { folder: expect.any(String) } });
    const abandoned = await startServer(60);
    await abandoned.idle; // by now the first one's time is over, too
    expect(await client.ask({ id: 2, op: 'locate', object: 7, offset: 0, length: 1 })).toEqual({
      id: 2,
      error: { code: 'CONNECTOR_CLOSED', message: 'the object is closed, or its connector is' },
    });
    client.end();
    await served.idle;
  });

  it('is idle when its only client has been refused', async () => {
    const server = await startServer(60_000);
    const client = await server.connect();
    expect(await client.ask(await hello({ protocol: 2 }))).toEqual({
      id: 1,
      error: {
        code: 'CONNECTOR_PROTOCOL',
        message:
          'the client speaks version 2, this server version 1; install the ossmodelconnector that came with this modelserve',
      },
    });
    client.end();
    await server.idle;
  });

  it.each(['nonsense', '{"id": 1, "op": "open", "uri": 5}', '{"id": 1, "op": "none"}', '[]', 'null'])(
    'ends a connection that sends %s',
    async (text) => {
      const server = await startServer(60_000);
      const client = await server.connect();
      void client.ask(await hello()).then(() => undefined);
      const other = await server.connect();
      other.write(text);
      await other.closed;
    },
  );
});

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectControl } from '../../src/channel/agent-client.ts';
import { FrameConnection } from '../../src/channel/connection.ts';
import { type Frame, FrameType } from '../../src/channel/frames.ts';
import type { Notification } from '../../src/channel/messages.ts';

let folder: string;
let server: Server;
let onFrame: (frame: Frame, connection: FrameConnection) => void;
let peers: FrameConnection[];

const hello = {
  protocol: 1,
  role: 'replica',
  replica: 'Echo-1',
  deployment: 'Echo',
  pid: 1,
  state: { phase: 'ready', max_ongoing: 4, ongoing: 0, error: null },
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'control-'));
  peers = [];
  onFrame = (frame, connection) => {
    if (frame.type === FrameType.hello) connection.sendJson(FrameType.hello, 0, 0, hello);
  };
  server = createServer((socket) => {
    const connection: FrameConnection = new FrameConnection(socket, {
      onFrame: (frame) => onFrame(frame, connection),
      onClose: () => {},
    });
    peers.push(connection);
  });
  await new Promise<void>((resolve) => server.listen(join(folder, 's'), resolve));
});

afterEach(async () => {
  for (const peer of peers) peer.destroy();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  rmSync(folder, { recursive: true });
});

function connect(events: (string | Notification)[] = [], timeoutMs = 2_000) {
  return connectControl({
    socketPath: join(folder, 's'),
    nodeId: 'node-a',
    timeoutMs,
    onNotify: (notification) => events.push(notification),
    onClose: () => events.push('closed'),
  });
}

describe('a control connection', () => {
  it('says who it is, learns who answers, and hears what is told behind the hello in the same packet', async () => {
    let greeting: unknown;
    onFrame = (frame, connection) => {
      greeting = JSON.parse(frame.payload.toString());
      connection.sendJson(FrameType.hello, 0, 0, hello);
      connection.sendJson(FrameType.notify, 0, 0, { event: 'beat', ongoing: 3 });
    };
    const events: (string | Notification)[] = [];
    const control = await connect(events);
    expect(greeting).toEqual({ protocol: 1, role: 'agent', node: 'node-a' });
    expect(control.hello).toEqual(hello);
    expect(events).toEqual([{ event: 'beat', ongoing: 3 }]);
    control.close();
  });

  it('gives each answer to its own request, whatever the order', async () => {
    const asked: Frame[] = [];
    const greet = onFrame;
    onFrame = (frame, connection) => {
      greet(frame, connection);
      if (frame.type === FrameType.control) asked.push(frame);
      if (asked.length < 2) return;
      for (const { stream } of asked.splice(0).reverse()) {
        connection.sendJson(FrameType.result, 1, stream, { ok: true, error: `answer ${stream}` });
      }
    };
    const control = await connect();
    const answers = await Promise.all([
      control.control({ op: 'health' }, 1_000),
      control.control({ op: 'drain', grace_ms: 5 }, 1_000),
    ]);
    expect(answers.map(({ error }) => error)).toEqual(['answer 1', 'answer 2']);
    control.close();
  });

  it('fails a request at its deadline, and all of them when the replica dies', async () => {
    const events: (string | Notification)[] = [];
    const control = await connect(events);
    await expect(control.control({ op: 'health' }, 30)).rejects.toMatchObject({ code: 'CHANNEL_TIMEOUT' });
    const open = control.control({ op: 'health' }, 5_000);
    peers[0]?.destroy();
    await expect(open).rejects.toMatchObject({ code: 'CHANNEL_CLOSED' });
    expect(events).toEqual(['closed']);
    await expect(control.control({ op: 'health' }, 30)).rejects.toMatchObject({ code: 'CHANNEL_CLOSED' });
  });

  it.each([
    ['another version', 'CHANNEL_VERSION', FrameType.hello, { ...hello, protocol: 7 }],
    ['a goaway', 'CHANNEL_VERSION', FrameType.goaway, { reason: 'protocol 7 here, 1 there' }],
    ['another frame', 'CHANNEL_PROTOCOL', FrameType.notify, { event: 'beat', ongoing: 0 }],
    ['no JSON', 'CHANNEL_PROTOCOL', FrameType.hello, null],
  ] as const)('is refused after %s', async (_name, code, type, payload) => {
    onFrame = (_frame, connection) => connection.sendJson(type, 0, 0, payload);
    await expect(connect()).rejects.toMatchObject({ code });
  });

  it('says where nobody listens, and gives up on who does not answer', async () => {
    onFrame = () => {};
    await expect(connect([], 50)).rejects.toMatchObject({ code: 'CHANNEL_TIMEOUT' });
    await expect(
      connectControl({
        socketPath: join(folder, 'none'),
        nodeId: 'a',
        timeoutMs: 1_000,
        onNotify: () => {},
        onClose: () => {},
      }),
    ).rejects.toMatchObject({
      code: 'CHANNEL_CONNECT',
      message: expect.stringContaining(join(folder, 'none')),
    });
  });
});

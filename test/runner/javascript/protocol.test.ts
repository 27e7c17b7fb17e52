import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrameConnection } from '../../../src/channel/connection.ts';
import { FLAG_END, type Frame, FrameType } from '../../../src/channel/frames.ts';
import { type BuiltRunner, buildRunner } from './build.ts';
import { eventually, requestHead, startReplica, type TestReplica } from './replica-harness.ts';

const BACKEND = `export class EchoBackend { async call(request) {
  const { busyMs } = await request.json();
  const end = performance.now() + (busyMs ?? 0);
  while (performance.now() < end);
  return { done: true }; } }`;

let runner: BuiltRunner;
let replica: TestReplica;

beforeAll(async () => {
  runner = await buildRunner();
  replica = await startReplica({ main: runner.main, files: { 'backend.mjs': BACKEND } });
});

afterAll(async () => {
  await replica?.stop();
  await runner?.remove();
});

interface RawConnection {
  readonly connection: FrameConnection;
  readonly frames: Frame[];
  readonly isClosed: () => boolean;
  readonly ofType: (type: number) => Promise<Frame>;
}

/** A peer that may break the rules. */
function open(): RawConnection {
  const frames: Frame[] = [];
  let closed = false;
  const connection = new FrameConnection(connect(replica.launch.socket), {
    onFrame: (frame) => frames.push({ ...frame, payload: Buffer.from(frame.payload) }),
    onClose: () => {
      closed = true;
    },
  });
  const find = (type: number): Frame | undefined => frames.find((frame) => frame.type === type);
  const ofType = async (type: number): Promise<Frame> => {
    await eventually(`a frame of type ${type}`, () => find(type));
    return find(type) as Frame;
  };
  return { connection, frames, isClosed: () => closed, ofType };
}

async function greeted(role: 'agent' | 'ingress' = 'ingress'): Promise<RawConnection> {
  const raw = open();
  raw.connection.sendJson(FrameType.hello, 0, 0, { protocol: 1, role, node: 'n1' });
  await raw.ofType(FrameType.hello);
  return raw;
}

describe('a connection is closed, and only that one,', () => {
  it('when it speaks another version, which is named', async () => {
    const raw = open();
    raw.connection.sendJson(FrameType.hello, 0, 0, { protocol: 99, role: 'ingress', node: 'n9' });
    expect((await raw.ofType(FrameType.goaway)).payload.toString()).toMatch(/protocol 1, n9 speaks 99/);
    await eventually('it is closed', raw.isClosed);
  });

  it.each<[string, (raw: RawConnection) => void]>([
    ['a frame comes before hello', (raw) => raw.connection.send(FrameType.ping, 0, 0, Buffer.alloc(8))],
    ['hello is no JSON', (raw) => raw.connection.send(FrameType.hello, 0, 0, Buffer.from('{'))],
  ])('when %s', async (_what, misbehave) => {
    const raw = open();
    misbehave(raw);
    await eventually('it is closed', raw.isClosed);
    expect(await replica.json({})).toEqual({ done: true });
  });

  it.each<[string, (raw: RawConnection) => void]>([
    [
      'a request head is no JSON',
      ({ connection }) => connection.send(FrameType.request, 0, 1, Buffer.from('x')),
    ],
    ['a control is no JSON', ({ connection }) => connection.send(FrameType.control, 0, 1, Buffer.from('x'))],
    [
      'a stream is used twice',
      ({ connection }) => {
        connection.sendJson(FrameType.request, 0, 1, requestHead(replica.launch));
        connection.sendJson(FrameType.request, 0, 1, requestHead(replica.launch));
      },
    ],
    [
      'a window is cut off',
      ({ connection }) => {
        connection.sendJson(FrameType.request, 0, 1, requestHead(replica.launch));
        connection.send(FrameType.window, 0, 1, Buffer.alloc(2));
      },
    ],
  ])('when %s', async (_what, misbehave) => {
    const raw = await greeted();
    misbehave(raw);
    await eventually('it is closed', raw.isClosed);
    expect(await replica.json({})).toEqual({ done: true });
  });
});

describe('an open connection', () => {
  it('ignores frames of types it does not know, and of streams that are over', async () => {
    const { connection, ofType } = await greeted();
    connection.send(200 as FrameType, 0, 0, Buffer.from('later'));
    connection.send(FrameType.data, FLAG_END, 77, Buffer.from('late'));
    connection.send(FrameType.cancel, 0, 77);
    connection.sendJson(FrameType.request, FLAG_END, 78, requestHead(replica.launch));
    expect((await ofType(FrameType.response)).stream).toBe(78);
    connection.destroy();
  });

  it('takes controls from an agent only', async () => {
    const { connection, ofType } = await greeted('ingress');
    connection.sendJson(FrameType.control, 0, 1, { op: 'drain', grace_ms: 0 });
    expect(JSON.parse((await ofType(FrameType.result)).payload.toString())).toMatchObject({ ok: false });
    connection.destroy();
  });

  it('answers pings while user code computes', async () => {
    const busy = replica.send({ body: '{"busyMs":3000}' });
    let isBusy = true;
    void busy.answer.then(() => {
      isBusy = false;
    });
    const { connection, ofType } = await greeted();
    connection.send(FrameType.ping, 0, 0, Buffer.from('12345678'));
    expect((await ofType(FrameType.pong)).payload.toString()).toBe('12345678');
    expect(isBusy).toBe(true);
    expect((await busy.answer).head?.status).toBe(200);
    connection.destroy();
  });
});

describe('a drain', () => {
  it('refuses, and does not lose, what an ingress sent before it knew of it', async () => {
    const { connection, ofType } = await greeted('ingress');
    await replica.control.control({ op: 'drain', grace_ms: 60_000 }, 5_000);
    const question = await ofType(FrameType.ping);
    connection.sendJson(FrameType.request, FLAG_END, 1, requestHead(replica.launch));
    expect(JSON.parse((await ofType(FrameType.refuse)).payload.toString())).toEqual({ reason: 'draining' });
    connection.send(FrameType.pong, 0, 0, question.payload);
    expect(await replica.process.exited).toEqual({ code: 0, signal: null });
  });
});

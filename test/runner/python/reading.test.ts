import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FrameType } from '../../../src/channel/frames.ts';
import type { ChannelClient } from './channel-client.ts';
import { interpreters, python } from './interpreters.ts';
import { TestReplica } from './replica.ts';
import { until } from './until.ts';

// The main thread reads requests itself; while user code keeps it, another thread has to. User code here blocks until a
// file exists, so that nothing depends on how long anything takes.

const block = `
import os, time
def block():
    while not os.path.exists("go"):
        time.sleep(0.005)
    os.unlink("go")
`;
const sync = `${block}
class Backend:
    def __init__(self, m): pass
    def predict(self, p):
        if p.get("block"):
            block()
        return p
`;
const asynchronous = `${block}
import asyncio
class Backend:
    def __init__(self, m): pass
    async def predict(self, p):
        if p.get("later"):
            asyncio.get_event_loop().call_later(0.01, block)
        if p.get("block"):
            block()
        return p
`;
const kinds: [string, string][] = [
  ['synchronous', sync],
  ['asynchronous', asynchronous],
];

async function serve(backend: string, launch: Record<string, unknown> = {}, path = python?.path ?? '') {
  const replica = new TestReplica({ python: path, backend, launch });
  onTestFinished(() => replica.dispose());
  const client = await (await replica.start().connect()).ready();
  return { replica, client, go: () => writeFileSync(join(replica.folder, 'go'), '') };
}

async function pong(client: ChannelClient): Promise<void> {
  const before = client.frames.filter((frame) => frame.type === FrameType.pong).length;
  client.send(FrameType.ping, 0, 0, '12345678');
  const pongs = () => client.frames.filter((frame) => frame.type === FrameType.pong).length;
  await until(() => pongs() > before, 'pong');
}

function sockets(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((name) => readlink(join(folder, name)).startsWith('socket:')).length;
}

function readlink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

describe.skipIf(python === null)('reading', () => {
  it.each(kinds)('goes on while a %s class blocks its thread, time after time', async (_, backend) => {
    const { client, go } = await serve(backend, { max_ongoing: 2 });
    for (let round = 0; round < 3; round += 1) {
      const blocked = client.call({ block: 1, round });
      await pong(client);
      const dropped = client.request({ body: '{}' });
      expect(await client.call({})).toEqual({ kind: 'refused', reason: 'full' });
      client.send(FrameType.cancel, 0, dropped.stream);
      const last = client.call({ last: round });
      go();
      expect((await blocked).json).toEqual({ block: 1, round });
      expect((await last).json).toEqual({ last: round });
    }
  });

  it.each(kinds)(
    'takes connections while a %s class blocks its thread, and lets go of them',
    async (_, backend) => {
      const { client, replica, go } = await serve(backend);
      await pong(client);
      const before = sockets(replica.pid);
      const blocked = client.call({ block: 1 });
      const others = await Promise.all([1, 2, 3].map(() => replica.connect()));
      for (const other of others) await pong(other);
      const calls = others.map((other, n) => other.call({ n }));
      others[0]?.destroy();
      go();
      await blocked;
      expect((await calls[1])?.json).toEqual({ n: 1 });
      for (const other of others) other.destroy();
      await until(() => sockets(replica.pid) === before, `${before} sockets`);
      expect((await client.call({ n: 4 })).json).toEqual({ n: 4 });
    },
  );

  it('goes on while an asynchronous class blocks its loop outside of calls', async () => {
    const { client, go } = await serve(asynchronous);
    await client.call({ later: 1 });
    await pong(client);
    const waiting = client.call({ n: 1 });
    await pong(client);
    go();
    expect((await waiting).json).toEqual({ n: 1 });
  });

  it('moves to its own thread when a synchronous class gets several', async () => {
    const { client, replica, go } = await serve(sync, { max_ongoing: 3 });
    const agent = await replica.connect('agent');
    expect(await agent.control({ op: 'limits', max_ongoing: 3, concurrency: 2 })).toEqual({ ok: true });
    const blocked = client.call({ block: 1 });
    expect((await client.call({ n: 1 })).json).toEqual({ n: 1 });
    go();
    await blocked;
  });

  it.each(interpreters)('takes many calls and bodies at once on CPython $version', async ({ path }) => {
    const { client } = await serve(asynchronous, { max_ongoing: 64, concurrency: 4 }, path);
    const bodies = Array.from({ length: 60 }, (_, n) => ({ n, text: 'x'.repeat(n * 3000) }));
    const answers = await Promise.all(bodies.map((body) => client.call(body)));
    expect(answers.map((each) => each.json)).toEqual(bodies);
  });
});

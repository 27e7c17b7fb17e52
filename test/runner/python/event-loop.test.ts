import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { interpreters, python } from './interpreters.ts';
import { TestReplica } from './replica.ts';
import { until } from './until.ts';

const backend = `
import asyncio, os, time
class Backend:
    def __init__(self, m): pass
    async def predict(self, p):
        if p.get("block"):
            while not os.path.exists("go"):
                time.sleep(0.005)
        return type(asyncio.get_event_loop()).__module__
`;
/** Stands in for the real one where a package's environment has it. */
const uvloop = `
import asyncio
__version__ = "0.0.1"
class Loop(asyncio.SelectorEventLoop): pass
new_event_loop = Loop
`;

async function serve(path: string, files: Record<string, string> = {}) {
  const replica = new TestReplica({ python: path, backend, files });
  onTestFinished(() => replica.dispose());
  const client = await (await replica.start().connect()).ready();
  return { replica, client };
}

describe.skipIf(python === null)('the event loop', () => {
  it('is uvloop where the environment has it', async () => {
    const { replica, client } = await serve(python?.path ?? '', { 'uvloop.py': uvloop });
    expect(await client.call({})).toMatchObject({ body: Buffer.from('uvloop') });
    expect(replica.output()).toContain('calls run on uvloop 0.0.1');
  });

  it("is asyncio's where not, or where uvloop cannot be loaded", async () => {
    const broken = { 'uvloop.py': 'raise ImportError("built for another interpreter")' };
    const { replica, client } = await serve(python?.path ?? '', broken);
    expect(await client.call({})).toMatchObject({ body: Buffer.from('asyncio.unix_events') });
    expect(replica.output()).toContain("calls run on asyncio's event loop");
  });

  const withUvloop = interpreters.find((each) => spawnSync(each.path, ['-c', 'import uvloop']).status === 0);
  it.skipIf(withUvloop === undefined)(
    'lets signals through while user code blocks it (skipped where no interpreter has uvloop)',
    async () => {
      const { replica, client } = await serve(withUvloop?.path ?? '');
      const blocked = client.call({ block: 1 });
      replica.signal('SIGTERM');
      await until(() => client.goaway === 'draining', 'goaway');
      writeFileSync(join(replica.folder, 'go'), '');
      expect(await blocked).toMatchObject({ kind: 'response', status: 200 });
      expect(await replica.exited()).toMatchObject({ code: 0 });
    },
  );
});

import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatusDocument } from '../../src/cluster/status/types.ts';
import { statePaths } from '../../src/config/paths.ts';
import { preloadLibrary } from '../../src/models/preload/preload-library.ts';
import { TestNode } from './support/cluster.ts';
import { type Machine, Machines, mayMakeMachines } from './support/machines.ts';
import { Project } from './support/project.ts';
import { hasRedis } from './support/stores.ts';
import { CLI } from './support/test-process.ts';
import { until } from './support/until.ts';

/** Says what it was given: where it runs, and what its model holds. */
const BACKEND = `
import hashlib, os
class Backend:
    def __init__(self, model_path):
        zoo, name = model_path.split(',')
        with open(os.path.join(zoo, name), 'rb') as file:
            self.model = hashlib.sha256(file.read()).hexdigest()
    async def __call__(self, request):
        return {'model': self.model, 'code': os.path.abspath(__file__), 'cwd': os.getcwd(), 'pid': os.getpid()}
`;

/** A web server on loopback, which gives one file and parts of it; says its port. */
const WEB_SERVER = `
import http from 'node:http';
import { readFileSync } from 'node:fs';
const bytes = readFileSync(process.argv[1]);
const server = http.createServer((request, response) => {
  const [, from = 0, to = bytes.length - 1] = /^bytes=(\\d+)-(\\d+)$/.exec(request.headers.range ?? '')?.map(Number) ?? [];
  const part = bytes.subarray(from, to + 1);
  const range = \`bytes \${from}-\${from + part.length - 1}/\${bytes.length}\`;
  response.writeHead(206, { etag: '"1"', 'content-length': part.length, 'content-range': range });
  response.end(request.method === 'HEAD' ? undefined : part);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

interface Answer {
  readonly model: string;
  readonly code: string;
  readonly cwd: string;
  readonly pid: number;
}

const canStream = (await preloadLibrary(process.env['PATH'] ?? '')).status === 'ready';
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(!hasRedis || !mayMakeMachines('packages and models on machines that never had the project'))(
  'a machine that never had the project',
  () => {
    const project = new Project();
    /** a project on a disk that the head does not see */
    const laptop = new Project('modelserve-laptop-');
    const tokens = mkdtempSync(join(tmpdir(), 'modelserve-token-'));
    const first = randomBytes(24 * 1024 ** 2);
    let machines: Machines;
    let headMachine: Machine;
    let workerMachine: Machine;
    let head: TestNode;
    let worker: TestNode;

    beforeAll(async () => {
      machines = new Machines(2, 232);
      [headMachine, workerMachine] = machines.all as [Machine, Machine];
      project.package('Remote', BACKEND);
      writeFileSync(join(project.dir, 'Model_ZOO', 'weights.bin'), first);
      serve(1);
      head = new TestNode(['head', '--conf', project.conf, '--host', headMachine.address, '--num-gpus', '0']);
      head.launch(machines.inside(headMachine, [laptop.dir]));
      await head.says(/workers/);
      copyFileSync(join(head.stateDir, 'token'), join(tokens, 'token'));
      worker = new TestNode([
        ...['worker', '--address', `${headMachine.address}:6370`, '--token-file', join(tokens, 'token')],
        ...['--num-gpus', '2'],
      ]);
    });

    afterAll(async () => {
      await worker?.dispose();
      await head?.dispose();
      machines?.remove();
      rmSync(tokens, { recursive: true, force: true });
      project.remove();
      laptop.remove();
    });

    function serve(replicas: number): void {
      const keys = { backend: 'Backend', route: 'remote', gpu_cost: 1, min_ready_s: 0.2 };
      project.sections({ Remote: { ...keys, model: 'weights.bin', replicas } });
    }

    const launchWorker = (): void =>
      worker.launch(machines.inside(workerMachine, [project.dir, laptop.dir, head.stateDir]));

    function onHead(words: readonly string[]): string {
      const [program = '', ...rest] = [...machines.inside(headMachine), ...words];
      return execFileSync(program, rest, { encoding: 'utf8' });
    }

    /** its standard output and error output together */
    const modelserve = (...words: readonly string[]): string =>
      onHead([
        'sh',
        '-c',
        '"$0" "$@" 2>&1',
        process.execPath,
        CLI,
        ...words,
        '--token-file',
        join(head.stateDir, 'token'),
      ]);

    const status = (): StatusDocument => JSON.parse(modelserve('status', '--json')) as StatusDocument;

    const ask = async (): Promise<Answer> =>
      await until(
        'an answer',
        () => {
          const url = `http://${headMachine.address}:${project.port}/remote`;
          const answer = JSON.parse(onHead(['curl', '-s', '--max-time', '10', '-d', '{}', url])) as Answer;
          return answer.model === undefined ? null : answer;
        },
        90_000,
      );

    const messageOf = (): string => status().deployments[0]?.replicas[0]?.message ?? '';
    /** of a replica that has proven itself: one that ends before that fails its revision */
    const settledPid = async (): Promise<number> => {
      const { pid } = await ask();
      await until('it to be in force', () => status().deployments[0]?.status === 'HEALTHY');
      return pid;
    };
    const partial = (): string => join(worker.stateDir, 'partial', sha256(first), 'progress.json');

    it('gets through a transfer that was killed, and goes on where it was', async () => {
      machines.shape(headMachine, '30mbit');
      launchWorker();
      await worker.says(/joined/);
      await until('the transfer to be shown', () =>
        /fetching model weights.bin: .* of 24 MiB, .* MiB\/s.* from the head/.test(messageOf()),
      );
      worker.signal('SIGKILL');
      await worker.ended();
      expect(existsSync(partial())).toBe(true);
      machines.shape(headMachine, null);
      launchWorker();
      const answer = await ask();
      expect(answer.model).toBe(sha256(first));
      expect(existsSync(partial())).toBe(false);
    });

    it('runs it from its own state directory', async () => {
      const { code, cwd } = await ask();
      expect(code.startsWith(join(worker.stateDir, 'snapshots'))).toBe(true);
      expect(cwd.startsWith(join(worker.stateDir, 'views'))).toBe(true);
    });

    it('finds a damaged model by its hash and fetches it again', async () => {
      const pid = await settledPid();
      const kept = join(worker.stateDir, 'models', sha256(first));
      const bytes = readFileSync(kept);
      bytes.write('damage', 1_000_000);
      writeFileSync(kept, bytes);
      process.kill(pid, 'SIGKILL');
      const after = await until('the next process', async () => {
        const answer = await ask();
        return answer.pid === pid ? null : answer;
      });
      expect(after.model).toBe(sha256(first));
    });

    it('keeps a revision its bytes when a model is replaced under its name, and shows the change', async () => {
      const second = randomBytes(1024);
      writeFileSync(join(project.dir, 'Model_ZOO', 'weights.bin'), second);
      const plan = modelserve('controller', '--conf', project.conf, '--dry-run');
      expect(plan).toMatch(/model content: weights.bin .*→ weights.bin/);
      const pid = await settledPid();
      process.kill(pid, 'SIGKILL');
      const old = await until('the next process', async () => {
        const answer = await ask();
        return answer.pid === pid ? null : answer;
      });
      expect(old.model).toBe(sha256(first));
      modelserve('controller', '--conf', project.conf);
      expect((await ask()).model).toBe(sha256(second));
    });

    it('takes a project from a disk that the head does not see, and of the next one only what is new', async () => {
      const weights = randomBytes(2 * 1024 ** 2);
      laptop.package('Remote', BACKEND);
      writeFileSync(join(laptop.dir, 'Model_ZOO', 'weights.bin'), weights);
      copyFileSync(project.conf, laptop.conf);
      const apply = (): string => modelserve('controller', '--conf', laptop.conf);
      expect(apply()).toMatch(/sending 4 files that the head does not have[\s\S]*is in force/);
      expect((await ask()).model).toBe(sha256(weights));
      laptop.package('Remote', `${BACKEND}# changed`);
      const second = apply();
      expect(second).toMatch(/sending 1 file that the head does not have/);
      expect(second).toMatch(/package content/);
      expect(second).not.toMatch(/project folder|model content/);
      expect(apply()).toMatch(/^Nothing changes\./);
    });

    it.skipIf(!canStream)('streams into its memory what the head alone can ask for', async () => {
      const weights = join(tokens, 'weights.bin');
      writeFileSync(weights, randomBytes(20 * 1024 ** 2));
      const [program = '', ...rest] = [...machines.inside(headMachine), process.execPath];
      const server = spawn(program, [...rest, '--input-type=module', '-e', WEB_SERVER, weights]);
      try {
        const port = String(((await once(server.stdout, 'data')) as [Buffer])[0]).trim();
        const model = `http://127.0.0.1:${port}/weights.bin`;
        const keys = { backend: 'Backend', route: 'remote', gpu_cost: 1, min_ready_s: 0.2 };
        project.sections({ Remote: { ...keys, model, stream: 'memory' } });
        expect(modelserve('controller', '--conf', project.conf)).toMatch(/is in force/);
        expect((await ask()).model).toBe(sha256(readFileSync(weights)));
        const { memory, models } = statePaths(worker.stateDir);
        const [listing = ''] = readdirSync(memory);
        expect(readdirSync(join(memory, listing, 'tree'))).toEqual(['file']);
        expect(existsSync(join(models, sha256(readFileSync(weights))))).toBe(false);
      } finally {
        server.kill();
      }
    });
  },
);

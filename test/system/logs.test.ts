import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterKeys } from '../../src/config/token.ts';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.ts';
import { parseMetrics } from '../support/prometheus.ts';
import { type CommandResult, freePorts, modelserve, TestHead, type TestNode } from './support/cluster.ts';
import { Project } from './support/project.ts';
import { hasRedis } from './support/stores.ts';
import { until } from './support/until.ts';

const SECRET = 'what-no-line-of-the-framework-may-hold';
const TRACE = '0af7651916cd43dd8448eb211c80319c';

const SOURCE = `
class Backend(object):
    def __init__(self, model_path):
        pass

    def __call__(self, request):
        param = request.json()
        print('printed', param)
        if 'raise' in param:
            raise ValueError(param['raise'])
        return {'status': 1, 'traceparent': request.headers.get('traceparent')}
`;

describe.skipIf(!hasRedis)(
  'what is known of a request that came to one node and was answered on another',
  () => {
    const project = new Project();
    let receiver: OtlpReceiver;
    let head: TestHead;
    let worker: TestNode;
    let url: string;

    beforeAll(async () => {
      receiver = await OtlpReceiver.start();
      project.package('Loud', SOURCE);
      project.package('Quiet', SOURCE);
      const section = { backend: 'Backend', min_ready_s: 0 };
      project.sections({ Loud: section, Quiet: { ...section, log_output: 'off' } });
      const conf = readFileSync(project.conf, 'utf8').replace(/(port = \d+)/, '$1\naccess_log = on');
      project.write('conf.ini', conf);
      const env = {
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: receiver.url,
        OTEL_TRACES_SAMPLER: 'parentbased_always_off',
      };
      head = await TestHead.start({ conf: project.conf, env });
      const [port = 0] = await freePorts(1);
      worker = head.worker(['--http-port', String(port)], env);
      worker.launch();
      await worker.says(/requests are answered/);
      url = `http://127.0.0.1:${port}`;
      for (const route of ['Loud', 'Quiet']) {
        await until(
          `${route} is ready`,
          async () => (await fetch(`${url}/-/readyz/${route}`)).status === 200,
        );
      }
    });

    afterAll(async () => {
      await worker?.dispose();
      await head?.dispose();
      project.remove();
      await receiver?.close();
    });

    const ask = async (route: string, param: object, id: string): Promise<Response> =>
      await fetch(`${url}/${route}?key=${SECRET}`, {
        method: 'POST',
        body: JSON.stringify(param),
        headers: {
          ...{ 'x-request-id': id, authorization: `Bearer ${SECRET}`, 'x-api-key': SECRET, cookie: SECRET },
          traceparent: `00-${TRACE}-b7ad6b7169203331-01`,
        },
      });

    const logs = async (...args: string[]): Promise<CommandResult> =>
      await modelserve(['logs', ...args, ...head.client]);

    /** The access log is written within a second. */
    async function logsWith(what: RegExp, ...args: string[]): Promise<string> {
      const found = { text: '' };
      await expect
        .poll(async () => (found.text = (await logs(...args)).stdout), { timeout: 20_000, interval: 500 })
        .toMatch(what);
      return found.text;
    }

    it('is found by its id in ingress, access log and replica', async () => {
      expect((await ask('Loud', { raise: SECRET }, 'id-loud')).headers.get('x-request-id')).toBe('id-loud');
      const text = await logsWith(/"component":"access"/, '--request', 'id-loud');
      const [failure, access, ...replica] = text.trimEnd().split('\n');
      expect(JSON.parse(failure ?? '')).toMatchObject({ msg: 'a request failed', requestId: 'id-loud' });
      const line = JSON.parse(access ?? '');
      expect(line).toMatchObject({
        path: '/Loud',
        status: 500,
        outcome: 'application_error',
        traceId: TRACE,
      });
      expect(line.replicaNode).not.toBe(line.node);
      expect(replica[0]).toBe(`${line.replica}  request id-loud failed:`);
      expect(replica.at(-1)).toBe(`${line.replica}    ValueError: ${SECRET}`);
    });

    it('is less where output is thrown away', async () => {
      await ask('Quiet', { raise: SECRET }, 'id-quiet');
      const text = await logsWith(/ValueError/, '--request', 'id-quiet');
      expect(text).toContain('in __call__');
      expect(text).not.toContain(SECRET);
      expect((await logs('Quiet')).stdout).not.toMatch(/printed|what-no-line/);
    });

    it('is in lines of each part, of the nodes that are asked for', async () => {
      const { stdout } = await logs('--component', 'agent', '--since', '1h');
      const lines = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, string>);
      expect(new Set(lines.map(({ node }) => node)).size).toBe(2);
      const times = lines.map(({ time }) => time);
      expect(times).toEqual([...times].sort());
      const [{ node } = { node: '' }] = lines;
      const one = await logs('--component', 'ingress', '--node', String(node));
      expect(one.stdout).toMatch(new RegExp(`^\\{"node":"${node}",.*"msg":"ingress started"`, 'm'));
    });

    it('is a trace through both nodes', async () => {
      const answer = (await (await ask('Loud', {}, 'id-traced')).json()) as { traceparent: string };
      const byId = (id: string | undefined): ReceivedSpan | undefined =>
        receiver.spans.find(({ spanId }) => spanId === id);
      const ofRequest = () =>
        receiver.spans.find(({ attributes }) => attributes['modelserve.request_id'] === 'id-traced');
      await expect.poll(ofRequest, { timeout: 20_000 }).toBeDefined();
      const [, traceId, replicaSpan] = answer.traceparent.split('-');
      expect(traceId).toBe(TRACE);
      expect(byId(replicaSpan)).toMatchObject({ name: 'replica', parentSpanId: ofRequest()?.spanId });
      const user = receiver.spans.find(({ parentSpanId }) => parentSpanId === replicaSpan);
      expect(user).toMatchObject({ name: 'user code', traceId: TRACE });
    });

    it('is counted, with its time in user code', async () => {
      const headers = { authorization: `Bearer ${clusterKeys(head.token).metricsKey}` };
      const scraped = async () =>
        parseMetrics(await (await fetch(`http://127.0.0.1:${head.adminPort}/metrics`, { headers })).text());
      const count = 'modelserve_request_user_code_seconds_count{deployment="Loud"}';
      await expect.poll(async () => (await scraped()).get(count), { timeout: 30_000, interval: 500 }).toBe(2);
      const sum = async (what: string) =>
        (await scraped()).get(`modelserve_request_${what}_seconds_sum{deployment="Loud"}`) ?? 0;
      expect(await sum('user_code')).toBeGreaterThan(0);
      expect(await sum('user_code')).toBeLessThan(await sum('replica'));
    });

    it('is in no line of the framework, as far as it is the client’s', () => {
      for (const node of [head, worker]) {
        const folder = join(node.stateDir, 'logs');
        const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
        expect(files.map(({ name }) => name)).toContain('ingress.log');
        for (const { name } of files)
          expect(readFileSync(join(folder, name), 'utf8'), name).not.toContain(SECRET);
      }
    });
  },
);

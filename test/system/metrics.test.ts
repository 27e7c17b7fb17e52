import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Outcome } from '../../src/cluster/metrics/outcomes.ts';
import type { Series } from '../../src/cluster/metrics/series.ts';
import { clusterKeys } from '../../src/config/token.ts';
import { parseMetrics, type Scraped } from '../support/prometheus.ts';
import { modelserve, TestHead } from './support/cluster.ts';
import { Project } from './support/project.ts';

const SOURCE = `
import asyncio

class Backend(object):
    def __init__(self, model_path):
        pass

    async def __call__(self, request):
        param = await request.json()
        if param.get('sleep'):
            await asyncio.sleep(param['sleep'])
        if param.get('raise'):
            raise ValueError('on purpose')
        return {'status': param.get('status', 1)}
`;

const project = new Project();
let head: TestHead;

beforeAll(async () => {
  project.package('Kinds', SOURCE);
  project.sections({ Kinds: { backend: 'Backend', min_ready_s: 0, method: 'POST' } });
  head = await TestHead.start({ conf: project.conf });
});

afterAll(async () => {
  await head?.dispose();
  project.remove();
});

const bearer = (key: 'apiKey' | 'metricsKey'): { readonly authorization: string } => ({
  authorization: `Bearer ${clusterKeys(head.token)[key]}`,
});

async function scrape(url: string): Promise<Scraped> {
  const answer = await fetch(url, { headers: bearer('metricsKey') });
  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  return parseMetrics(text);
}

const ended = (metrics: Scraped, outcome: Outcome): number | undefined =>
  metrics.get(`modelserve_requests_total{deployment="Kinds",outcome="${outcome}"}`);

async function ask(param: object, init: RequestInit = {}): Promise<Response | null> {
  const body = JSON.stringify(param);
  return await fetch(head.url('Kinds'), { method: 'POST', body, ...init }).catch(() => null);
}

const SENT: Readonly<Partial<Record<Outcome, number>>> = {
  ok: 20,
  application_error: 5,
  client_error: 2,
  timeout: 1,
  cancelled: 1,
};

async function sendOfEachKind(): Promise<void> {
  for (let count = 0; count < 20; count += 1) await ask({});
  for (let count = 0; count < 3; count += 1) await ask({ status: 0 });
  for (let count = 0; count < 2; count += 1) await ask({ raise: true });
  for (let count = 0; count < 2; count += 1) await fetch(head.url('Kinds'), { method: 'DELETE' });
  await ask({ sleep: 30 }, { headers: { 'x-request-timeout-seconds': '0.1' } });
  const leave = new AbortController();
  const left = ask({ sleep: 30 }, { signal: leave.signal });
  await expect.poll(async () => inFlight(await scrape(head.url('-/metrics'))), { timeout: 20_000 }).toBe(1);
  leave.abort();
  await left;
  await fetch(head.url('elsewhere'));
}

function inFlight(metrics: Scraped): number | undefined {
  return metrics.get('modelserve_requests_in_flight{deployment="Kinds"}');
}

/** Requests of the last hour by outcome, out of the values over time. */
async function fromSeries(): Promise<Readonly<Partial<Record<Outcome, number>>>> {
  const url = `http://127.0.0.1:${head.adminPort}/api/v1/series?deployment=Kinds&step=10`;
  const series = (await (await fetch(url, { headers: bearer('apiKey') })).json()) as Series;
  const rates = Object.entries(series.deployments['Kinds']?.outcomesPerS ?? {});
  const sum = (points: readonly (number | null)[]): number =>
    Math.round(points.reduce<number>((total, point) => total + (point ?? 0) * series.stepS, 0));
  return Object.fromEntries(rates.map(([outcome, points]) => [outcome, sum(points)]));
}

/** Messages of the live stream until one is wanted. */
async function liveUntil(isWanted: (event: string, data: string) => boolean): Promise<readonly string[]> {
  const url = `http://127.0.0.1:${head.adminPort}/api/v1/live`;
  const answer = await fetch(url, { headers: bearer('apiKey'), signal: AbortSignal.timeout(60_000) });
  const reader = (answer.body ?? expect.fail('no body')).getReader();
  const events: string[] = [];
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return events;
    text += Buffer.from(value).toString('utf8');
    const messages = text.split('\n\n');
    text = messages.pop() ?? '';
    for (const message of messages) {
      const [, event = '', data = ''] = /^id: .*\nevent: (.*)\ndata: (.*)$/.exec(message) ?? [];
      if (event !== '') events.push(event);
      if (event === '' || !isWanted(event, data)) continue;
      await reader.cancel();
      return events;
    }
  }
}

it('counts what was sent, by kind, on the node and for the cluster, and tells it live', async () => {
  const ticked = liveUntil((event, data) => {
    if (event !== 'tick') return false;
    const [kinds] = (JSON.parse(data) as { deployments: { requestsPerS: number }[] }).deployments;
    return (kinds?.requestsPerS ?? 0) > 0;
  });
  await sendOfEachKind();
  const onNode = await scrape(head.url('-/metrics'));
  for (const [outcome, count] of Object.entries(SENT))
    expect(ended(onNode, outcome as Outcome), outcome).toBe(count);
  expect(onNode.get('modelserve_unrouted_requests_total')).toBe(1);
  expect(onNode.get('modelserve_request_duration_seconds_count{deployment="Kinds"}')).toBe(26);
  expect((await ticked)[0]).toBe('status');
  const url = `http://127.0.0.1:${head.adminPort}/metrics`;
  await expect.poll(async () => ended(await scrape(url), 'cancelled'), { timeout: 30_000 }).toBe(1);
  const cluster = await scrape(url);
  for (const [outcome, count] of Object.entries(SENT))
    expect(ended(cluster, outcome as Outcome), outcome).toBe(count);
  expect(cluster.get('modelserve_replicas{deployment="Kinds",phase="ready"}')).toBe(1);
  expect(cluster.get('modelserve_leader')).toBe(1);
  // a step is shown when it is over
  await expect.poll(fromSeries, { timeout: 30_000 }).toEqual(SENT);
});

it('keeps values over time, and counts nothing twice, when the head is started anew', async () => {
  const stopped = await modelserve(['stop', '--keep-replicas', '--state-dir', head.stateDir]);
  expect(stopped, stopped.stderr).toMatchObject({ code: 0 });
  await head.ended();
  head.output = '';
  head.launch();
  await head.says(/^ready\b/im);
  await liveUntil((event) => event === 'tick');
  // a step is shown when it is over
  await expect.poll(fromSeries, { timeout: 30_000 }).toEqual(SENT);
  // The ingress went on: its counts stand, and are in the new head's sums.
  const sum = async () => ended(await scrape(`http://127.0.0.1:${head.adminPort}/metrics`), 'ok');
  await expect.poll(sum, { timeout: 30_000 }).toBe(20);
});

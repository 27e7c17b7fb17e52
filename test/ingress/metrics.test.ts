import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/cluster/metrics/outcomes.ts';
import { forkProcess } from '../../src/lib/process/fork.ts';
import { parseMetrics, type Scraped } from '../support/prometheus.ts';
import type { FakeCall } from './fake-replica.ts';
import { bundleIngressPrograms } from './ingress-programs.ts';
import { call, routeOf, TestNode, until } from './test-node.ts';

let node: TestNode;

beforeEach(() => {
  node = new TestNode();
});

afterEach(async () => {
  await node.close();
});

const KEY = { authorization: 'Bearer metrics key' };

async function scrape(headers: Record<string, string> = KEY): Promise<Scraped> {
  const answer = await call(node.port, { method: 'GET', path: '/-/metrics', headers });
  expect(answer.status, answer.text).toBe(200);
  expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  return parseMetrics(answer.text);
}

const ended = (metrics: Scraped, outcome: Outcome): number | undefined =>
  metrics.get(`modelserve_requests_total{deployment="Echo",outcome="${outcome}"}`);
const duration = (metrics: Scraped, what: string): number | undefined =>
  metrics.get(`modelserve_request_${what}_seconds_count{deployment="Echo"}`);

/** Does what the path says. */
function byPath(asked: FakeCall): void {
  const { answer, stream } = asked;
  const scripts: Readonly<Record<string, () => void>> = {
    '/echo/application': () => answer('{"status": 0}', { ok: false }),
    '/echo/missing': () => answer('no such thing', { status: 404 }),
    '/echo/failed': () => stream.fail({ code: 'BACKEND_ERROR', info: 'on purpose' }),
    '/echo/bad': () => answer('x', { status: 99 }),
    '/echo/late': () => undefined,
  };
  (scripts[asked.head.path] ?? (() => answer('fine')))();
}

describe('requests are counted by how they ended', () => {
  it('with their bytes and durations', async () => {
    await node.serve({ 'Echo-1': byPath });
    const ask = async (path: string, more: object = {}) => await call(node.port, { path, ...more });
    await Promise.all([ask('/echo', { body: 'abc' }), ask('/echo', { body: 'de' }), ask('/echo')]);
    await ask('/echo/application');
    await ask('/echo/missing');
    await ask('/echo', { method: 'DELETE' });
    await ask('/echo/failed');
    await ask('/echo/bad');
    await ask('/echo/late', { headers: { 'x-request-timeout-seconds': '0.05' } });
    await ask('/elsewhere');
    const leave = new AbortController();
    const left = ask('/echo/late', { signal: leave.signal });
    await until('it is at the replica', () => node.ingress.state.inFlight === 1);
    leave.abort();
    await expect(left).rejects.toThrow();
    await until('it is gone', () => node.ingress.state.open === 0);
    const metrics = await scrape();
    expect(
      [
        'ok',
        'application_error',
        'client_error',
        'refused',
        'replica_failed',
        'bad_gateway',
        'unavailable',
      ].map((outcome) => ended(metrics, outcome as Outcome)),
    ).toEqual([3, 1, 2, 0, 1, 1, 0]);
    expect([ended(metrics, 'timeout'), ended(metrics, 'cancelled')]).toEqual([1, 1]);
    expect(metrics.get('modelserve_unrouted_requests_total')).toBe(1);
    // Not of the one that was turned away (DELETE), nor of the one whose client left.
    expect(['duration', 'queue', 'replica'].map((what) => duration(metrics, what))).toEqual([8, 8, 8]);
    expect(metrics.get('modelserve_request_bytes_sum{deployment="Echo"}')).toBe(5);
    expect(metrics.get('modelserve_response_bytes_sum{deployment="Echo"}')).toBe(
      3 * 'fine'.length + '{"status": 0}'.length + 'no such thing'.length,
    );
    expect(metrics.get('modelserve_requests_in_flight{deployment="Echo"}')).toBe(0);
  });

  it('where they are refused, or wait', async () => {
    const held: FakeCall[] = [];
    await node.serve(
      { 'Echo-1': (asked) => void held.push(asked) },
      { route: { maxQueuedRequests: 1 }, replica: { maxOngoing: 1 } },
    );
    const first = call(node.port);
    await until('one is at the replica', () => held.length === 1);
    const second = call(node.port);
    await until('one waits', () => node.ingress.state.queued === 1);
    expect((await call(node.port)).status).toBe(429);
    let metrics = await scrape();
    expect(metrics.get('modelserve_requests_queued{deployment="Echo"}')).toBe(1);
    expect(ended(metrics, 'refused')).toBe(1);
    held[0]?.answer('1');
    await until('the next is there', () => held.length === 2);
    held[1]?.answer('2');
    expect((await first).text + (await second).text).toBe('12');
    metrics = await scrape();
    expect(duration(metrics, 'queue')).toBe(2);
    expect(metrics.get('modelserve_request_queue_seconds_sum{deployment="Echo"}')).toBeGreaterThan(0);
  });

  it('where a replica gives them back, or dies with them', async () => {
    let seen = 0;
    await node.serve({
      'Echo-1': ({ stream, answer }) => {
        seen += 1;
        if (seen === 1) stream.refuse('full');
        else if (seen === 2) stream.fail({ code: 'REPLICA_STOPPED', info: 'it had to go' });
        else answer('fine');
      },
    });
    expect((await call(node.port)).text).toBe('fine');
    const metrics = await scrape();
    expect(metrics.get('modelserve_replica_refusals_total{deployment="Echo"}')).toBe(1);
    expect(metrics.get('modelserve_request_retries_total{deployment="Echo"}')).toBe(1);
    expect([ended(metrics, 'ok'), duration(metrics, 'replica')]).toEqual([1, 1]);
  });

  it('and grow by no path, method or header that a client makes up', async () => {
    await node.serve({ 'Echo-1': byPath });
    const before = [...(await scrape()).keys()];
    for (let round = 0; round < 20; round += 1) {
      await call(node.port, { path: `/made-up-${round}"}%0A` });
      await call(node.port, { path: `/echo/${round}`, method: 'PATCH', headers: { [`x-${round}`]: 'y' } });
    }
    const longest = `/${'a%22%5Cn'.repeat(1_000)}`;
    for (const method of ['OPTIONS', 'TRACE', 'PROPFIND', 'M-SEARCH', 'PURGE'])
      for (const path of ['/echo', '/echo?deployment=%22x%22,outcome=%22y%22', longest, '/-/metrics'])
        await call(node.port, { path, method });
    const after = [...(await scrape()).keys()];
    expect(after.filter((key) => !before.includes(key) && !key.includes('_seconds_'))).toEqual([]);
  });
});

describe('metrics', () => {
  it('are for who has the key, or for everybody where conf.ini says so', async () => {
    await node.serve({ 'Echo-1': byPath });
    for (const headers of [{}, { authorization: 'Bearer wrong' }] as Record<string, string>[]) {
      const answer = await call(node.port, { method: 'GET', path: '/-/metrics', headers });
      expect([answer.status, answer.json().code]).toEqual([401, 'TOKEN_REFUSED']);
    }
    await node.publish([routeOf()], { metricsOpen: true });
    await scrape({});
  });

  it('are of all processes, whichever answers, and lose nothing when one ends', async () => {
    const programs = await bundleIngressPrograms();
    try {
      node.forkHelper = () => forkProcess(programs.helper, [join(node.paths.logs, 'ingress.log')]);
      await node.serve({ 'Echo-1': byPath }, { table: { ingressProcesses: 2 } });
      const serving = () => node.ingress.state.processes.filter(({ phase }) => phase === 'serving').length;
      await until('the helper serves', () => serving() === 1, 60_000);
      for (let count = 0; count < 10; count += 1) await call(node.port, { headers: { connection: 'close' } });
      for (let count = 0; count < 4; count += 1) {
        const metrics = await scrape({ ...KEY, connection: 'close' });
        expect(ended(metrics, 'ok')).toBe(10);
        expect([...metrics.keys()]).toContain(
          'modelserve_process_resident_memory_bytes{process="ingress-helper-1"}',
        );
      }
      await node.publish([routeOf()], { ingressProcesses: 1 });
      await until('it has left', () => node.ingress.state.processes.length === 1, 60_000);
      expect(ended(await scrape(), 'ok')).toBe(10);
    } finally {
      programs.remove();
    }
  });
});

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tempDir } from '../support/temp-dir.ts';

const DOCS = join(import.meta.dirname, '../../docs');
const ALERTS = join(DOCS, 'prometheus-alerts.yml');
const hasPromtool = spawnSync('promtool', ['--version']).error === undefined;
if (!hasPromtool) {
  process.stdout.write(
    'skipped: alerts and Grafana dashboard as Prometheus reads them: there is no promtool\n',
  );
}

/** What a head says, a minute apart: `value+step x times`, in promtool's words. */
interface Told {
  readonly series: string;
  readonly calm: string;
  readonly trouble: string;
}

const STEADY = (value: number): string => `${value}x60`;
const TOLD: readonly Told[] = [
  { series: 'up{job="modelserve",instance="h"}', calm: STEADY(1), trouble: STEADY(0) },
  { series: 'modelserve_leader{instance="h"}', calm: STEADY(1), trouble: STEADY(0) },
  { series: 'modelserve_leader{instance="standby"}', calm: STEADY(0), trouble: STEADY(0) },
  { series: 'modelserve_store_up', calm: STEADY(1), trouble: STEADY(0) },
  { series: 'modelserve_node_up{node="gone"}', calm: STEADY(1), trouble: STEADY(0) },
  { series: 'modelserve_node_answers{node="gone"}', calm: STEADY(1), trouble: STEADY(0) },
  { series: 'modelserve_node_up{node="mute"}', calm: STEADY(1), trouble: STEADY(1) },
  { series: 'modelserve_node_answers{node="mute"}', calm: STEADY(1), trouble: STEADY(0) },
  { series: status('UNHEALTHY'), calm: STEADY(0), trouble: STEADY(1) },
  { series: status('PENDING'), calm: STEADY(0), trouble: STEADY(1) },
  { series: status('HEALTHY'), calm: STEADY(1), trouble: STEADY(0) },
  { series: ended('ok'), calm: '0+60x60', trouble: '0+60x60' },
  { series: ended('timeout'), calm: '0+1x60', trouble: '0+60x60' },
  { series: ended('refused'), calm: STEADY(0), trouble: '0+60x60' },
  { series: ended('client_error'), calm: '0+600x60', trouble: STEADY(0) },
  { series: 'modelserve_replica_restarts{deployment="Echo"}', calm: STEADY(7), trouble: '0+1x60' },
  { series: busy('ingress-helper-1'), calm: '0+20x60', trouble: '0+59x60' },
  { series: 'modelserve_gpu_usable{node="gone",gpu="0"}', calm: STEADY(1), trouble: STEADY(0) },
  { series: onGpu('memory_share_bytes'), calm: STEADY(5e9), trouble: STEADY(5e9) },
  { series: onGpu('memory_used_bytes'), calm: STEADY(4e9), trouble: STEADY(6e9) },
];

function status(name: string): string {
  return `modelserve_deployment_status{deployment="Echo",status="${name}"}`;
}

function ended(outcome: string): string {
  return `modelserve_requests_total{deployment="Echo",outcome="${outcome}"}`;
}

function onGpu(name: string): string {
  return `modelserve_replica_gpu_${name}{node="n",gpu="0",deployment="Echo",replica="Echo-1"}`;
}

function busy(process: string): string {
  return `modelserve_event_loop_busy_seconds_total{node="n",process="${process}"}`;
}

/** @returns what promtool says; throws with it where something is wrong */
function promtool(...args: readonly string[]): string {
  return execFileSync('promtool', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Checks with promtool that after half an hour these alerts fire, one each, and no other. */
function expectAlerts(how: 'calm' | 'trouble', names: readonly string[]): void {
  const file = join(tempDir(), 'tests.yml');
  const exp_samples = names.map((name) => ({ labels: `{alertname="${name}"}`, value: 1 }));
  const expr = 'count by (alertname) (ALERTS{alertstate="firing"})';
  const test = {
    interval: '1m',
    input_series: TOLD.map((one) => ({ series: one.series, values: one[how] })),
    promql_expr_test: [{ expr, eval_time: '30m', exp_samples }],
  };
  writeFileSync(file, JSON.stringify({ rule_files: [ALERTS], evaluation_interval: '1m', tests: [test] }));
  expect(promtool('test', 'rules', file)).toContain('SUCCESS');
}

describe.skipIf(!hasPromtool)('Prometheus', () => {
  it('takes the alerts, each of which fires when its trouble is there', () => {
    expect(promtool('check', 'rules', ALERTS)).toContain('SUCCESS');
    const names = [...readFileSync(ALERTS, 'utf8').matchAll(/alert: (\w+)/g)].map(([, name = '']) => name);
    expect(names.length).toBeGreaterThan(5);
    expectAlerts('trouble', names);
  });

  it('raises no alert where all is well, whatever clients do wrong', () => {
    expectAlerts('calm', []);
  });

  it('understands what the Grafana dashboard asks', () => {
    const { panels } = JSON.parse(readFileSync(join(DOCS, 'grafana-dashboard.json'), 'utf8')) as {
      readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[];
    };
    const rules = panels
      .flatMap(({ targets = [] }) => targets)
      .map(({ expr }, at) => ({
        record: `asked:${at}`,
        expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$deployment', '.*'),
      }));
    expect(rules.length).toBeGreaterThan(5);
    const file = join(tempDir(), 'asked.yml');
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'asked', rules }] }));
    expect(promtool('check', 'rules', file)).toContain(`${rules.length} rules found`);
  });
});

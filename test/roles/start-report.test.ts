import { expect, it } from 'vitest';
import { announceHead, type HeadFacts } from '../../src/roles/start-report.ts';

function said(dashboardHost: string, isEncrypted: boolean, endNote: string | null = null): string {
  const lines: string[] = [];
  const facts = {
    flags: {
      host: '127.0.0.1',
      port: 6370,
      redisUrl: null,
      dashboard: { host: dashboardHost, port: 8265, isReadOnly: false },
    },
    server: { description: 'store: one' },
    tokenFile: '/state/token',
    security: {
      scope: isEncrypted ? 'all' : 'nodes',
      tls: { clients: isEncrypted ? { endNote: () => endNote } : null },
      caFile: null,
    },
    nodeId: 'n-1',
    capacity: { cpuMilli: 1000, gpus: [] },
  } as unknown as HeadFacts;
  announceHead(facts, (line) => lines.push(line));
  return lines.join('\n');
}

it('warns of a dashboard that takes tokens in clear from other machines, and of no other', () => {
  expect(said('10.0.0.1', false)).toContain(
    'http://10.0.0.1:8265 (log in with the token in /state/token)\n  (in clear:',
  );
  for (const calm of [said('127.0.0.1', false), said('10.0.0.1', true)])
    expect(calm).not.toContain('in clear');
});

it('warns of a certificate that ends before long', () => {
  const note = 'the certificate in /tls/given.pem ends in 5 days';
  expect(said('127.0.0.1', true, note)).toContain(`warning: ${note}`);
  expect(said('127.0.0.1', true)).not.toContain('warning');
});
